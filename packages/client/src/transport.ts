import { type PushfleetError, unreachable } from './errors.ts';
import type { ReceivedMessage } from './message.ts';
import type { Gap } from './subscription.ts';

/** What one connection asks for. */
export interface Ask {
  /** At least one, but over WebSocket. */
  readonly filters: readonly string[];
  readonly after: string | undefined;
  readonly retained: boolean;
  readonly token: string;
}

/** How a connection ended. */
export interface End {
  readonly error: PushfleetError;
  /** Nobody said why: the network, or something in it, and not the fleet. */
  readonly broken: boolean;
  /** It stood and nothing came, although something should have: a proxy holds it back. */
  readonly stalled?: boolean;
  /** How long to wait before coming back, as the fleet said, in milliseconds. */
  readonly retryMs?: number | undefined;
}

/** Nobody said why. */
export const broken = (what: string, cause?: unknown): End => ({
  error: unreachable(what, cause),
  broken: true,
});

/** What a connection tells. After `end`, and after `close()`, nothing more. */
export interface LinkEvents {
  /** The first word of the fleet arrived in the stream itself: the way works in this direction. */
  alive(): void;
  /** What was asked for stands. */
  live(cursor: string | undefined): void;
  message(message: ReceivedMessage): void;
  gap(gap: Gap): void;
  /** A quiet stream's place moves on. */
  moved(cursor: string): void;
  end(end: End): void;
}

/**
 * Asks the fleet something. `json` is the text of the member `data`, and `bytes` a payload that is no text. Rejects with a
 * PushfleetError, also where the connection ends first.
 */
export type Request = (
  message: object,
  json?: string,
  bytes?: Uint8Array,
) => Promise<Readonly<Record<string, unknown>>>;

/** One connection. What not every transport can do is absent. */
export interface Link {
  /** Adds filters, those behind `after` included. Rejects with a PushfleetError, also where the connection ends first. */
  add?(filters: readonly string[], after: string | undefined): Promise<void>;
  remove?(filters: readonly string[]): void;
  /** Goes on with another token. */
  renew?(token: string): void;
  request?: Request;
  /** The device may have slept: makes sure that the connection is still there, or ends it as broken. */
  check(): void;
  close(): void;
}

/** A way to the fleet. */
export interface Transport {
  open(ask: Ask, events: LinkEvents): Link;
}
