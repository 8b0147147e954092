/** One publication as it arrived. */
export interface Message {
  readonly topic: string;
  /** The publication's id: unique for its source and topic. */
  readonly id: string;
  /** Who published it (CloudEvents `source`). */
  readonly source: string;
  /** CloudEvents `type`; `pushfleet.publication` where the publisher named none. */
  readonly type: string;
  /** When the fleet stored it. */
  readonly time: Date;
  readonly contentType: string;
  /** The place behind it, to resume from: `subscribe(filter, { after: message.cursor })`, now or after a reload. */
  readonly cursor: string;
  /** It was kept for those who come later, and came because of `{ retained: true }`. */
  readonly retained: boolean;
  /** Further attributes, by name: CloudEvents extensions. */
  readonly attributes: Readonly<Record<string, string>>;
  /** The payload as characters. JSON is written anew: white space and the digits of very long numbers may differ. */
  text(): string;
  /** The payload as JSON. @throws SyntaxError where it is none */
  json<T = unknown>(): T;
  /** The payload as bytes. */
  bytes(): Uint8Array;
}
