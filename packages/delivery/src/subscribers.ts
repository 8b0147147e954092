import { type Namespace, PushfleetError } from '@pushfleet/core';
import type {
  MatchAnswer,
  MatchQuestion,
  Subscription,
  SubscriptionChange,
  SubscriptionKind,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { keyOf, type SubscriptionRef } from './place.ts';

/** What a worker asks of the registry. All reject with PushfleetError. */
export interface SubscriptionCalls {
  match(kind: SubscriptionKind, questions: readonly MatchQuestion[]): Promise<readonly MatchAnswer[]>;
  /** A page of those of a kind, without their secrets. @param pageToken of the page before; empty: from the beginning */
  list(kind: SubscriptionKind, namespace: Namespace, pageToken: string): Promise<ListedSubscriptions>;
  /** With their secrets; those that do not exist are left out, those that cannot be opened now are told apart. */
  read(refs: readonly SubscriptionRef[]): Promise<ReadSubscriptions>;
  /**
   * Stores a new one.
   *
   * @param ownerLimit most that its owner may have; 0: as many as the namespace
   */
  create(subscription: Subscription, ownerLimit: number): Promise<Subscription>;
  /** Changes the named fields, if the revision is still the record's. */
  change(subscription: Subscription, fields: readonly string[]): Promise<Subscription>;
  /** @param revision it ends only where that is still the record's */
  end(ref: SubscriptionRef, reason: string, revision?: bigint): Promise<void>;
  /**
   * Follows the changes of a kind, over all losses of the connection. `onChange` hears each; `onLost` whenever
   * changes may have been missed.
   */
  watch(
    kind: SubscriptionKind,
    onChange: (change: SubscriptionChange) => void,
    onLost: () => void,
  ): { stop(): void };
}

export interface ListedSubscriptions {
  readonly found: readonly Subscription[];
  /** Undefined: that was the last page. */
  readonly next: string | undefined;
}

export interface ReadSubscriptions {
  readonly found: readonly Subscription[];
  readonly sealed: readonly { readonly ref: SubscriptionRef; readonly reason: string }[];
}

const mostKnown = 100_000;
const readAtOnce = 500;

/** The subscriptions that this worker delivers to, as the registry last said. */
export class Subscribers {
  readonly #calls: SubscriptionCalls;
  readonly #kind: SubscriptionKind;
  /** In the order in which they were read. */
  readonly #known = new Map<string, Subscription>();
  readonly #asked = new Map<
    string,
    { readonly ref: SubscriptionRef; readonly answer: PromiseWithResolvers<Subscription | undefined> }
  >();
  readonly #listeners: ((ref: SubscriptionRef | undefined) => void)[] = [];
  #watch: { stop(): void } | undefined;
  /** Changed while something was being read: what was read of them may be older, and is not kept. */
  readonly #stale = new Set<string>();
  #allStale = false;
  #reads = 0;
  #scheduled = false;

  constructor(calls: SubscriptionCalls, kind: SubscriptionKind) {
    this.#calls = calls;
    this.#kind = kind;
  }

  start(): void {
    const onChange = (change: SubscriptionChange): void => {
      const ref = { namespace: change.namespace, id: change.id } as SubscriptionRef;
      this.#forget(ref);
    };
    this.#watch = this.#calls.watch(this.#kind, onChange, () => this.#forget(undefined));
  }

  close(): void {
    this.#watch?.stop();
  }

  /** Calls `on` when a subscription has changed or ended; with undefined, when any may have. */
  onChange(on: (ref: SubscriptionRef | undefined) => void): void {
    this.#listeners.push(on);
  }

  /** The subscription, at once where it is known; undefined where there is none. Many asked in a turn are one question. */
  get(ref: SubscriptionRef): Subscription | Promise<Subscription | undefined> {
    const key = keyOf(ref);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    let asked = this.#asked.get(key);
    if (asked === undefined) {
      asked = { ref, answer: Promise.withResolvers() };
      this.#asked.set(key, asked);
      this.#schedule();
    }
    return asked.answer.promise;
  }

  /** As `get`, as it is now: for who has heard of a change before this worker may have. */
  async fresh(ref: SubscriptionRef): Promise<Subscription | undefined> {
    this.#forget(ref);
    return this.get(ref);
  }

  /** Changes a subscription; what came of it is read again. @throws PushfleetError `conflict` where somebody was first */
  async change(subscription: Subscription, fields: readonly string[]): Promise<void> {
    await this.#calls.change(subscription, fields).finally(() => this.#forget(refOf(subscription)));
  }

  /** @throws PushfleetError `conflict` where somebody was first, if a revision is given */
  async end(ref: SubscriptionRef, reason: string, revision?: bigint): Promise<void> {
    await this.#calls.end(ref, reason, revision).finally(() => this.#forget(ref));
  }

  #forget(ref: SubscriptionRef | undefined): void {
    if (ref === undefined) this.#known.clear();
    else this.#known.delete(keyOf(ref));
    if (this.#reads > 0 && ref === undefined) this.#allStale = true;
    else if (this.#reads > 0 && ref !== undefined) this.#stale.add(keyOf(ref));
    for (const on of this.#listeners) on(ref);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const asked = [...this.#asked.values()];
      this.#asked.clear();
      for (let i = 0; i < asked.length; i += readAtOnce) void this.#read(asked.slice(i, i + readAtOnce));
    });
  }

  async #read(
    asked: readonly { ref: SubscriptionRef; answer: PromiseWithResolvers<Subscription | undefined> }[],
  ): Promise<void> {
    this.#reads++;
    try {
      const { found, sealed } = await this.#calls.read(asked.map(({ ref }) => ref));
      const byKey = new Map(found.map((subscription) => [keyOf(refOf(subscription)), subscription]));
      const reasons = new Map(sealed.map(({ ref, reason }) => [keyOf(ref), reason]));
      for (const { ref, answer } of asked) {
        const reason = reasons.get(keyOf(ref));
        if (reason !== undefined) {
          answer.reject(new PushfleetError('unavailable', reason));
          continue;
        }
        const subscription = byKey.get(keyOf(ref));
        if (subscription !== undefined) this.#keep(keyOf(ref), subscription);
        answer.resolve(subscription);
      }
    } catch (error) {
      for (const { answer } of asked) answer.reject(error);
    } finally {
      this.#reads--;
      if (this.#reads === 0) this.#stale.clear();
      if (this.#reads === 0) this.#allStale = false;
    }
  }

  #keep(key: string, subscription: Subscription): void {
    if (this.#allStale || this.#stale.has(key)) return;
    this.#known.set(key, subscription);
    if (this.#known.size <= mostKnown) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}

/** The name of a record. */
export const refOf = ({ namespace, id }: Subscription): SubscriptionRef =>
  ({ namespace, id }) as SubscriptionRef;

/** A change came too late: somebody else has changed the subscription, or it is no more. */
export const isOverrun = (error: unknown): boolean =>
  error instanceof PushfleetError && (error.code === 'conflict' || error.code === 'not_found');
