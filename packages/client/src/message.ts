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

/** CloudEvents JSON, as the fleet writes it: each attribute is a text. */
export interface CloudEvent {
  readonly [attribute: string]: unknown;
}

const own = /^(specversion|id|source|type|subject|time|datacontenttype|data|data_base64|pushfleet.*)$/;

/** A message over the event that brought it. */
export class ReceivedMessage implements Message {
  readonly topic: string;
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly contentType: string;
  readonly cursor: string;
  readonly retained: boolean;
  /** The same for each copy of the publication: its id is unique for its source and topic. */
  readonly key: string;
  readonly #event: CloudEvent;
  readonly #bytes: Uint8Array | undefined;

  /**
   * @param bytes the payload, where it came beside the event
   * @throws TypeError where this is no event of a fleet
   */
  constructor(event: CloudEvent, retained: boolean, bytes?: Uint8Array) {
    this.#event = event;
    this.#bytes = bytes;
    this.topic = text(event, 'subject');
    this.id = text(event, 'id');
    this.source = text(event, event.pushfleetsource === undefined ? 'source' : 'pushfleetsource');
    this.type = text(event, 'type');
    this.contentType = text(event, 'datacontenttype');
    this.cursor = text(event, 'pushfleetcursor');
    this.retained = retained;
    this.key = `${this.source}\n${this.topic}\n${this.id}`;
  }

  get time(): Date {
    return new Date(String(this.#event.pushfleettime ?? this.#event.time));
  }

  get attributes(): Readonly<Record<string, string>> {
    const attributes: [string, string][] = [];
    for (const [name, value] of Object.entries(this.#event)) {
      if (!own.test(name)) attributes.push([name, String(value)]);
    }
    const { time, pushfleettime, pushfleetattributes } = this.#event;
    // The publisher's own time, where it gave one.
    if (pushfleettime !== undefined) attributes.push(['time', String(time)]);
    if (typeof pushfleetattributes === 'string') {
      attributes.push(...(JSON.parse(pushfleetattributes) as [string, string][]));
    }
    return Object.fromEntries(attributes);
  }

  text(): string {
    const { data } = this.#event;
    if (this.#isEncoded) return new TextDecoder().decode(this.bytes());
    if (data === undefined) return '';
    return this.#isJson ? JSON.stringify(data) : String(data);
  }

  json<T = unknown>(): T {
    const { data } = this.#event;
    return (this.#isJson && data !== undefined ? data : JSON.parse(this.text())) as T;
  }

  bytes(): Uint8Array {
    if (this.#bytes !== undefined) return this.#bytes;
    const encoded = this.#event.data_base64;
    if (typeof encoded !== 'string') return new TextEncoder().encode(this.text());
    return Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  }

  get #isEncoded(): boolean {
    return this.#bytes !== undefined || this.#event.data_base64 !== undefined;
  }

  // CloudEvents JSON format 3.1.1: `data` is the value itself where the content type says JSON, and otherwise a text.
  get #isJson(): boolean {
    return /^[^;]*[/+]json\s*(;|$)/i.test(this.contentType);
  }
}

function text(event: CloudEvent, name: string): string {
  const value = event[name];
  if (typeof value === 'string') return value;
  throw new TypeError(`The event has no ${name}.`);
}
