import type { Shelf } from '@pushfleet/bus';
import { type Subscription, SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { type Log, TimerWheel } from '@pushfleet/runtime';
import type { Books } from './books.ts';
import type { GateLimits, Terms } from './gate.ts';
import { decodeJson, type Reference } from './job.ts';
import { type Delivery, Lane } from './lane.ts';
import type { OwedShelf } from './owed-shelf.ts';
import type { Patiently } from './patience.ts';
import { deliveryId, keyOf, laneKey, refOfLane, type SubscriptionRef } from './place.ts';
import { receiverOf } from './receiver.ts';
import { type RightOptions, wrongWith } from './right.ts';
import type { Subscribers } from './subscribers.ts';

export interface LaneBookOptions extends RightOptions {
  readonly kind: string;
  readonly shelf: Shelf;
  readonly owed: OwedShelf;
  readonly books: Books;
  readonly subscribers: Subscribers;
  readonly limits: GateLimits & {
    readonly endpointConcurrency: number;
    readonly endpointRate: number;
    readonly queue: number;
  };
  /** The subscription is to be stopped, for this reason. */
  readonly onStop: (lane: Lane, reason: string) => void;
  readonly log: Log;
  readonly patiently: Patiently;
}

/** Lanes held in mind, at most; idle ones are forgotten first. */
const mostLanes = 100_000;
/** Entries of a lane read at once. */
const pageSize = 64;
/** How long until it is asked again which rights were revoked, in milliseconds. */
const askAgainMs = 1_000;

/** `unknown`: being found out; whoever waits hears of it. `held`: nothing is sent, and all is kept. */
export type Standing = 'open' | 'held' | 'ended' | 'unknown';

/** The lanes of this worker's slots, with what the registry and the shelf say of them. */
export class LaneBook {
  readonly #o: LaneBookOptions;
  readonly #lanes = new Map<string, Lane>();
  /** How often each lane has grown; a read that began before does not know. */
  readonly #growth = new WeakMap<Lane, number>();
  /** Ordered lanes of which it is known whether their first delivery waits. */
  readonly #headKnown = new WeakSet<Lane>();
  /** Slots whose shelves nobody else delivers from. */
  readonly #entered = new Set<number>();
  /** Slots that are about to pass on. */
  readonly #leaving = new Set<number>();
  readonly #wheel = new TimerWheel();
  #onReady: (lane: Lane) => void = () => {};

  constructor(options: LaneBookOptions) {
    this.#o = options;
    options.subscribers.onChange((ref) => this.#changed(ref));
  }

  get size(): number {
    return this.#lanes.size;
  }

  /** Calls `on` when there is reason to look at a lane again. */
  onReady(on: (lane: Lane) => void): void {
    this.#onReady = on;
  }

  close(): void {
    this.#wheel.close();
  }

  of(ref: SubscriptionRef): Lane {
    const key = keyOf(ref);
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = new Lane(ref, this.#o.limits);
      this.#lanes.set(key, lane);
      if (this.#lanes.size > mostLanes) this.#trim();
    }
    return lane;
  }

  /** Those of one slot. */
  ofSlot(slot: number): readonly Lane[] {
    return [...this.#lanes.values()].filter((lane) => lane.slot === slot);
  }

  /** Whether the slot is about to pass on: nothing new sets out then. */
  setLeaving(slot: number, leaving: boolean): void {
    if (leaving) this.#leaving.add(slot);
    else this.#leaving.delete(slot);
  }

  /** What lies on the slot's shelves is this worker's to deliver: looks for it. */
  async enter(slot: number): Promise<void> {
    this.#entered.add(slot);
    await this.find(slot);
  }

  /** What lies on the slot's shelves may be another's to deliver: what was read of it is forgotten. */
  quit(slot: number): void {
    this.#entered.delete(slot);
    for (const lane of this.ofSlot(slot)) this.forget(lane);
  }

  /** Whether the lane is still this worker's. */
  holds(lane: Lane): boolean {
    return this.#lanes.get(lane.key) === lane;
  }

  forget(lane: Lane): void {
    lane.wake?.();
    if (this.holds(lane)) this.#lanes.delete(lane.key);
  }

  /** Looks for lanes of a slot that have something on their shelf, whoever laid it there. */
  async find(slot: number): Promise<void> {
    const found = await this.#o.shelf.keys(`${this.#o.kind}/${slot}`);
    for (const [key, count] of found) {
      const ref = refOfLane(key);
      if (ref === undefined) continue;
      const lane = this.of(ref);
      lane.shelved = count - 1;
      this.grown(lane);
      this.#onReady(lane);
    }
  }

  /** Something was laid on the lane's shelf, by this worker, by the expander or by a replay. */
  grown(lane: Lane): void {
    lane.behind = true;
    lane.shelved++;
    this.#growth.set(lane, (this.#growth.get(lane) ?? 0) + 1);
    if (lane.shelved > this.#o.limits.queue && !lane.counting) void this.#bound(lane);
  }

  /** Stops a lane on which too much lies. A repeated nudge counts twice: the last word has the shelf. */
  async #bound(lane: Lane): Promise<void> {
    const key = laneKey(this.#o.kind, lane.ref);
    lane.counting = true;
    try {
      lane.shelved = (await this.#o.shelf.keys(key)).get(key) ?? 0;
      if (lane.shelved <= this.#o.limits.queue) return;
      this.#o.onStop(lane, `More than ${this.#o.limits.queue} deliveries wait for it.`);
    } catch (error) {
      this.#o.log.debug({ err: error, ...lane.ref }, 'a lane was not counted');
    } finally {
      lane.counting = false;
    }
  }

  /** What may be done with the lane now; where that is not known it is found out. */
  standing(lane: Lane): Standing {
    // Its slot has passed on, and something that was read for it came late: it is another's to deliver now.
    if (!this.holds(lane)) return 'unknown';
    if (lane.gone || lane.ended) return 'ended';
    if (this.#leaving.has(lane.slot)) return 'held';
    if (lane.subscription === undefined) this.#load(lane);
    const { subscription } = lane;
    if (subscription === undefined) return lane.ended ? 'ended' : 'unknown';
    if (subscription.state !== SubscriptionState.SUBSCRIPTION_STATE_ACTIVE) return 'held';
    // The registry says that it has ended, or was renewed; what it said last is no consent behind the lease.
    if (subscription.expiresAt !== undefined && subscription.expiresAt.getTime() <= Date.now()) return 'held';
    return this.#right(lane, subscription);
  }

  /** Whether whoever made the subscription still has the right to it. */
  #right(lane: Lane, subscription: Subscription): Standing {
    try {
      const reason = wrongWith(subscription, this.#o);
      if (reason === undefined) return 'open';
      this.#o.onStop(lane, reason);
      return 'held';
    } catch {
      this.wakeIn(lane, askAgainMs);
      return 'unknown';
    }
  }

  /** Removes what is kept of a subscription that has ended. */
  clear(lane: Lane): void {
    if (lane.cleared) return;
    lane.cleared = true;
    lane.behind = false;
    void this.#o.books
      .forget(lane)
      .catch((error: unknown) => this.#o.log.debug({ err: error, ...lane.ref }, 'a lane was not cleared'));
  }

  /** Looks at the lane again in `ms` milliseconds. */
  wakeIn(lane: Lane, ms: number): void {
    lane.wake?.();
    lane.wake = this.#wheel.after(ms, () => {
      lane.wake = undefined;
      this.#onReady(lane);
    });
  }

  async shelve(delivery: Delivery): Promise<void> {
    const { lane } = delivery;
    await this.#o.books.shelve(delivery);
    // It ended while this was written down.
    if (lane.cleared) await this.#o.books.forget(lane);
    this.grown(lane);
    // The slot's next owner may have looked before this came.
    if (!this.#entered.has(lane.slot)) await this.#o.books.nudge(lane);
  }

  async unshelve(lane: Lane, sequence: number): Promise<void> {
    lane.shelved = Math.max(0, lane.shelved - 1);
    await this.#o.books.unshelve(sequence);
  }

  /** Reads on where the last page ended, and says when it is here. */
  read(lane: Lane): void {
    if (lane.busy || !this.#entered.has(lane.slot)) return;
    lane.busy = true;
    void this.#readPage(lane)
      .catch((error: unknown) => this.#o.log.error({ err: error, ...lane.ref }, 'a lane cannot be read'))
      .finally(() => {
        lane.busy = false;
        this.#onReady(lane);
      });
  }

  async #readPage(lane: Lane): Promise<void> {
    const growth = this.#growth.get(lane);
    if (lane.terms?.ordered && !this.#headKnown.has(lane)) {
      lane.headWaits ||= await this.#o.books.headWaits(lane);
      this.#headKnown.add(lane);
    }
    const entries = await this.#o.patiently('a lane', () =>
      this.#o.shelf.read(laneKey(this.#o.kind, lane.ref), lane.readTo, pageSize),
    );
    const deliveries = await Promise.all(
      entries.map(async ({ sequence, body }) => {
        const { owed: place, attempts } = decodeJson<Reference>(body);
        const owed = await this.#o.patiently('what is owed', () => this.#o.owed.get(place));
        return { sequence, attempts, owed };
      }),
    );
    for (const { sequence, attempts, owed } of deliveries) {
      lane.readTo = sequence;
      if (owed === undefined) void this.unshelve(lane, sequence).catch(() => {});
      else lane.page.push(this.#delivery(lane, owed, attempts, sequence));
    }
    lane.behind = entries.length === pageSize || this.#growth.get(lane) !== growth;
  }

  #delivery(lane: Lane, owed: Delivery['owed'], attempts: number, sequence: number): Delivery {
    const id = deliveryId(lane.ref.namespace, owed.publication);
    const record = { on: 'lane', sequence } as const;
    return { ...{ lane, id, owed, attempts, record }, since: Date.now(), moving: undefined };
  }

  /** Finds out what the registry says of it: at once where that is known here. */
  #load(lane: Lane): void {
    if (lane.busy) return;
    const known = this.#o.subscribers.get(lane.ref);
    if (!(known instanceof Promise)) {
      this.#take(lane, known);
      return;
    }
    lane.busy = true;
    const { changes } = lane;
    void this.#o
      .patiently('a subscription', async () => this.#o.subscribers.get(lane.ref))
      .then((subscription) => lane.changes === changes && this.#take(lane, subscription))
      .catch((error: unknown) =>
        this.#o.log.debug({ err: error, ...lane.ref }, 'a subscription was not read'),
      )
      .finally(() => {
        lane.busy = false;
        this.#onReady(lane);
      });
  }

  #take(lane: Lane, subscription: Subscription | undefined): void {
    lane.subscription = subscription;
    lane.ended = subscription === undefined;
    if (subscription === undefined) return;
    lane.terms = this.#terms(subscription);
    // Another address is another receiver; and whoever resumes a subscription wants it tried, whatever was before.
    lane.meet(`${receiverOf(subscription).address} ${subscription.stateSince?.getTime()}`, this.#o.limits);
  }

  #terms(subscription: Subscription): Terms {
    const { endpointConcurrency, endpointRate } = this.#o.limits;
    const { ordered, concurrency, rate } = receiverOf(subscription);
    return { ordered, concurrency: concurrency || endpointConcurrency, rate: rate || endpointRate };
  }

  #changed(ref: SubscriptionRef | undefined): void {
    const lanes = ref === undefined ? this.#lanes.values() : [this.#lanes.get(keyOf(ref))];
    for (const lane of lanes) {
      if (lane === undefined) continue;
      lane.changes++;
      lane.subscription = undefined;
      // What was created anew under an old name is another subscription.
      lane.ended = false;
      lane.cleared = false;
      lane.stopping = false;
      this.#onReady(lane);
    }
  }

  #trim(): void {
    let looked = 0;
    for (const lane of this.#lanes.values()) {
      if (looked++ === 100 || this.#lanes.size <= mostLanes) return;
      if (lane.idle) this.forget(lane);
    }
  }
}
