import type { Stores } from '@pushfleet/bus';
import type { Cursor, Signals } from '@pushfleet/core';
import type { Attempt, DeadLetter } from './attempt.ts';
import type { SubscriptionRef } from './place.ts';

/** Part of a list, newest first. */
export interface Page<T> {
  readonly items: readonly T[];
  /** For the page behind it; absent where there is none. */
  readonly next?: string;
}

export interface Backlog {
  /** Deliveries that wait for their turn. */
  readonly queued: number;
  /** Deliveries that wait for their next attempt. */
  readonly retrying: number;
  readonly dead: number;
}

/** What the owner of a subscription can ask of its deliveries. All reject with `unavailable` without the log. */
export interface DeliveryControl {
  /**
   * Has the receiver called. Resolves with the attempt, or undefined where no worker has made it in `waitMs`
   * milliseconds; it is made later then.
   */
  call(of: SubscriptionRef, why: 'test' | 'handshake', waitMs: number): Promise<Attempt | undefined>;
  /** @throws PushfleetError `request_invalid` for a `before` that no page gave */
  attempts(of: SubscriptionRef, before: string | undefined, limit: number): Promise<Page<Attempt>>;
  /** @throws PushfleetError `request_invalid` for a `before` that no page gave */
  deadLetters(of: SubscriptionRef, before: string | undefined, limit: number): Promise<Page<DeadLetter>>;
  /**
   * Delivers a dead letter again, with a full schedule of attempts.
   *
   * @throws PushfleetError `not_found`
   */
  redeliver(of: SubscriptionRef, letter: string): Promise<void>;
  /** Delivers all dead letters again; settles once that is on record. */
  redeliverAll(of: SubscriptionRef): Promise<void>;
  /** Delivers again what was published after one place up to another; settles once that is on record. */
  replay(of: SubscriptionRef, after: Cursor, until: Cursor): Promise<void>;
  backlog(of: SubscriptionRef): Promise<Backlog>;
  /** Removes all that is kept of a subscription that has ended. */
  forget(of: SubscriptionRef): Promise<void>;
}

/** The deliveries of one kind of receiver, such as `webhook`, as managers see them. */
export declare function createDeliveryControl(
  kind: string,
  stores: Stores,
  signals: Signals,
): DeliveryControl;
