import type { Site } from './site.ts';

/** What is asked of the fleet, by whom. */
export interface Ask {
  /** Undefined: none. */
  readonly token: string | undefined;
  /** A topic or filter. */
  readonly topic: string;
  /** A cursor to resume from. */
  readonly after?: string;
  readonly retained?: boolean;
  /** The payload, where something is written. */
  readonly text?: string;
}

/** What the fleet answered, and goes on to say where the way in is a stream. */
export interface Heard {
  /** The protocol's own words for the outcome: "403 forbidden", "SUBACK 0x87 forbidden". */
  readonly brief: string;
  /** Everything that was said until now: heads and bodies. */
  text(): string;
  close(): void;
}

/** A way into the fleet: a protocol, and where on it the token stands. */
export interface Way {
  readonly name: string;
  /** What a token must grant. */
  readonly right: 'subscribe' | 'publish' | 'presence' | 'manage' | 'nothing';
  /** What `brief` is where the fleet refuses by this code. */
  refusal(code: string): string;
  /** `brief` without any token, where it is not the one of `unauthenticated`. */
  readonly withoutToken?: string;
  /** `brief` where somebody publishes to a topic that begins with `$`, if it is not the one of `forbidden`. */
  readonly reserved?: string;
  /** Reads topics alone, no filters. */
  readonly exact?: true;
  /** Brings what is retained where it is asked to. */
  readonly retains?: true;
  /** Resumes from a cursor. */
  readonly resumes?: true;
  enter(site: Site, ask: Ask): Promise<Heard>;
}

/** Both the HTTP status and the fleet's code. */
export const httpRefusal = (code: string): string => `${code === 'forbidden' ? 403 : 401} ${code}`;

/** What was said at once and for all. */
export const said = (brief: string, text: string): Heard => ({ brief, text: () => text, close: () => {} });
