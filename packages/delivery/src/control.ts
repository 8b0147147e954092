import { randomUUID } from 'node:crypto';
import type { Shelf, ShelfEntry, Stores } from '@pushfleet/bus';
import { type Cursor, PushfleetError, quote, type Signals } from '@pushfleet/core';
import type { Attempt, DeadLetter } from './attempt.ts';
import type { Buried } from './books.ts';
import { attemptSignal, type CallNews } from './calls.ts';
import { type DeliveryStores, deliveryStores, forgetAll } from './delivery-stores.ts';
import { decodeJson, encodeJob, type Job } from './job.ts';
import { keyOf, laneKey, nameOf, type SubscriptionRef, slotOf } from './place.ts';

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
   *
   * @param delivery its id; absent: one of its own
   */
  call(
    of: SubscriptionRef,
    why: 'test' | 'handshake',
    waitMs: number,
    delivery?: string,
  ): Promise<Attempt | undefined>;
  /** Has the receiver asked; settles once the question is on record. @param question its id, as `Consent` knows it */
  ask(of: SubscriptionRef, question: string): Promise<void>;
  /** @throws PushfleetError `request_invalid` for a `before` that no page gave */
  attempts(of: SubscriptionRef, before: string | undefined, limit: number): Promise<Page<Attempt>>;
  /** @throws PushfleetError `request_invalid` for a `before` that no page gave */
  deadLetters(of: SubscriptionRef, before: string | undefined, limit: number): Promise<Page<DeadLetter>>;
  /**
   * Delivers a dead letter again, with a full schedule of attempts; settles once that is on record.
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

/**
 * The deliveries of one kind of receiver, such as `webhook`, as managers see them.
 *
 * @param ownerless as in `DeliveryOptions`
 */
export function createDeliveryControl(
  kind: string,
  stores: Stores,
  signals: Signals,
  ownerless = false,
): DeliveryControl {
  return new Control(deliveryStores(kind, stores, ownerless), signals);
}

class Control implements DeliveryControl {
  readonly #stores: DeliveryStores;
  readonly #signals: Signals;

  constructor(stores: DeliveryStores, signals: Signals) {
    this.#stores = stores;
    this.#signals = signals;
  }

  async call(
    of: SubscriptionRef,
    why: 'test' | 'handshake',
    waitMs: number,
    delivery = `msg_${randomUUID().replaceAll('-', '')}`,
  ): Promise<Attempt | undefined> {
    const { promise, resolve } = Promise.withResolvers<Attempt | undefined>();
    const stop = this.#signals.hear(attemptSignal, (value) => {
      const news = value as Partial<CallNews> | null;
      if (news?.attempt?.id === delivery && news.namespace === of.namespace) resolve(news.attempt);
    });
    const timer = setTimeout(() => resolve(undefined), waitMs);
    try {
      await this.#put(of, { kind: 'call', ...nameOf(of), why, delivery, attempts: 0 });
      return await promise;
    } finally {
      stop();
      clearTimeout(timer);
    }
  }

  ask(of: SubscriptionRef, question: string): Promise<void> {
    return this.#put(of, { kind: 'call', ...nameOf(of), why: 'handshake', delivery: question, attempts: 0 });
  }

  attempts(of: SubscriptionRef, before: string | undefined, limit: number): Promise<Page<Attempt>> {
    return page(this.#stores.attempts, of, before, limit, ({ body }) => decodeJson<Attempt>(body));
  }

  deadLetters(of: SubscriptionRef, before: string | undefined, limit: number): Promise<Page<DeadLetter>> {
    return page(this.#stores.dead, of, before, limit, ({ body, sequence }) => {
      const { owed: _, ...letter } = decodeJson<Buried>(body);
      return { letter: String(sequence), ...letter };
    });
  }

  async redeliver(of: SubscriptionRef, letter: string): Promise<void> {
    const sequence = placeOf(letter);
    const entry = sequence === undefined ? undefined : await this.#stores.dead.get(sequence);
    if (entry === undefined || entry.key !== keyOf(of)) {
      throw new PushfleetError(
        'not_found',
        `There is no dead letter ${quote(letter)}: it was delivered again, its time is over, or it never was.`,
      );
    }
    await this.#put(of, { kind: 'redeliver', ...nameOf(of), letter: entry.sequence });
  }

  async redeliverAll(of: SubscriptionRef): Promise<void> {
    await this.#put(of, { kind: 'redeliver', ...nameOf(of) });
  }

  async replay(of: SubscriptionRef, after: Cursor, until: Cursor): Promise<void> {
    await this.#put(of, { kind: 'replay', ...nameOf(of), after, until });
  }

  async backlog(of: SubscriptionRef): Promise<Backlog> {
    const count = async (shelf: Shelf, key: string) => (await shelf.keys(key)).get(key) ?? 0;
    const [queued, retrying, dead] = await Promise.all([
      count(this.#stores.lanes, laneKey(this.#stores.kind, of)),
      this.#stores.queue.appointments(slotOf(of), keyOf(of)),
      count(this.#stores.dead, keyOf(of)),
    ]);
    return { queued, retrying, dead };
  }

  forget(of: SubscriptionRef): Promise<void> {
    return forgetAll(this.#stores, of);
  }

  #put(of: SubscriptionRef, job: Job): Promise<void> {
    return this.#stores.queue.put([{ slot: slotOf(of), id: randomUUID(), body: encodeJob(job) }]);
  }
}

const placeOf = (text: string): number | undefined =>
  /^[1-9]\d{0,15}$/.test(text) ? Number(text) : undefined;

async function page<T>(
  shelf: Shelf,
  of: SubscriptionRef,
  before: string | undefined,
  limit: number,
  read: (entry: ShelfEntry) => T,
): Promise<Page<T>> {
  const place = before === undefined ? undefined : placeOf(before);
  if (before !== undefined && place === undefined) {
    throw new PushfleetError(
      'request_invalid',
      '"before" is the "next" of the page before; leave it out to begin.',
    );
  }
  const entries = await shelf.newest(keyOf(of), place, limit);
  const last = entries.at(-1);
  const more = entries.length === limit && last !== undefined;
  return { items: entries.map(read), ...(more && { next: String(last.sequence) }) };
}
