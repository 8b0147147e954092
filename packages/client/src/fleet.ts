import type { PushfleetError } from './errors.ts';
import type { Message } from './message.ts';
import type { Presence } from './presence.ts';
import type { Gap, SubscribeOptions, Subscription } from './subscription.ts';

/** The ways to the fleet, best first. */
export type TransportName = 'websocket' | 'sse' | 'poll';

/**
 * - `idle`: there is nothing to connect for.
 * - `connecting`: looking for a way that works.
 * - `connected`: subscriptions are fed.
 * - `waiting`: every way failed, or the fleet asked to wait; it tries again by itself.
 * - `failed`: the fleet refused for good, for example the token; `error` said why.
 * - `closed`: by `close()`.
 */
export type FleetState = 'idle' | 'connecting' | 'connected' | 'waiting' | 'failed' | 'closed';

export interface FleetEvents {
  state: FleetState;
  /** The way in use changed; undefined while there is none. */
  transport: TransportName | undefined;
  /**
   * Something failed: with `retryable` the client goes on by itself; otherwise a subscription or an entering was refused, or,
   * where the state is `failed`, the whole client.
   */
  error: PushfleetError;
  /** A gap of a subscription. */
  gap: Gap & { readonly subscription: Subscription };
}

/** Bytes and texts go as they are; anything else goes as JSON. */
export type Payload = unknown;

export interface PublishOptions {
  /** 1 to 256 bytes; made where absent. The fleet keeps one of each id, source and topic within its duplicate window. */
  readonly id?: string;
  /** CloudEvents `type`. */
  readonly type?: string;
  /** Also keep it as the topic's retained publication, for those who subscribe later. */
  readonly retain?: boolean;
  /** Whole seconds for which it may be delivered. */
  readonly ttl?: number;
  readonly contentType?: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

/** A publication is in the log. */
export interface Receipt {
  readonly id: string;
  readonly topic: string;
  /** The place behind it. */
  readonly cursor: string;
  /** The log held it already: an earlier attempt had arrived. */
  readonly duplicate: boolean;
}

/** A client of one fleet. It connects when there is something to connect for. */
export interface Fleet {
  readonly state: FleetState;
  readonly transport: TransportName | undefined;
  /**
   * Subscribes to the topics that match: `+` is any one level, `#` at the end all further ones. Where the fleet refuses it,
   * the subscription ends with the error, and `error` tells it, too.
   *
   * @throws PushfleetError `closed`, or why the client failed
   */
  subscribe(filter: string, options?: SubscribeOptions, handler?: (message: Message) => void): Subscription;
  /**
   * Resolves once the fleet has stored it. Until then it is sent again, always with the same id, for at most
   * `limits.patienceMs`. Publications to one topic are stored in the order of the calls.
   *
   * @throws PushfleetError with the fleet's code, `queue_full`, `timeout` or `closed`
   */
  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<Receipt>;
  presence(topic: string): Presence;
  /** @returns a function that takes the handler away */
  on<K extends keyof FleetEvents>(event: K, handler: (value: FleetEvents[K]) => void): () => void;
  /** Tries again at once where it waits, and makes sure that connections which seem to stand do. */
  reconnect(): void;
  /** Ends all subscriptions and waits, at most `deadlineMs` (5 s), for the answers to what is being published. */
  close(deadlineMs?: number): Promise<void>;
}
