import { PushfleetError } from './errors.ts';
import type { Fleet, TransportName } from './fleet.ts';

export interface ConnectOptions {
  /** The origin of the fleet's front, such as `https://push.example.com`. A path in it is put before the fleet's own. */
  readonly url: string | URL;
  /**
   * What is allowed. A function is asked again before the token ends, and once more when it is refused. It never stands
   * in a URL.
   */
  readonly token: string | (() => string | Promise<string>);
  /** Which ways to try, best first: `['websocket', 'sse', 'poll']` where absent. */
  readonly transports?: readonly TransportName[];
  /** Remembers which way worked for the next page, for example `sessionStorage`. */
  readonly storage?: Pick<Storage, 'getItem' | 'setItem'>;
  readonly limits?: Partial<Limits>;
  /** In place of the ones of the platform. */
  readonly fetch?: typeof globalThis.fetch;
  readonly WebSocket?: typeof globalThis.WebSocket;
}

/** What can be tuned; the defaults are those of `defaultLimits`. */
export interface Limits {
  /** Most messages held for one slow subscription. */
  readonly buffer: number;
  /** Most publications that wait for their answer, and their most bytes. */
  readonly queueCount: number;
  readonly queueBytes: number;
  /** How long a publication is tried, in milliseconds: below half the fleet's duplicate window (2 minutes by default). */
  readonly patienceMs: number;
  /** How long a way to the fleet may take until something arrives over it, in milliseconds. */
  readonly openMs: number;
  /** At least so many messages are remembered, so that none is given twice. */
  readonly remembered: number;
}

/** Connects to the fleet at `url`, when there is something to connect for. Close it when done. */
export function connect(_options: ConnectOptions): Fleet {
  throw new PushfleetError('unavailable', 'The client is being written.');
}
