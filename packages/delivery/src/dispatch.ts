import { setTimeout as sleep } from 'node:timers/promises';
import type { Attempt, Outcome } from './attempt.ts';
import { type Books, publicationRef } from './books.ts';
import type { Courier } from './courier.ts';
import type { Deletions } from './deletions.ts';
import type { EntriesInHand, Record } from './entry.ts';
import type { Owed } from './job.ts';
import type { Delivery, Lane } from './lane.ts';
import type { LaneBook } from './lane-book.ts';
import { Stopped } from './patience.ts';
import { deliveryId, type SubscriptionRef } from './place.ts';
import { graceMs } from './retry.ts';
import type { Settling } from './settling.ts';

export interface DispatchLimits {
  /** Most deliveries on their way at once that answer within the patience. */
  readonly concurrency: number;
  /** Most that do not. */
  readonly slow: number;
  /** What an attempt takes at most, in milliseconds. */
  readonly timeoutMs: number;
}

export interface DispatchOptions {
  readonly lanes: LaneBook;
  readonly entries: EntriesInHand;
  readonly books: Books;
  readonly deletions: Deletions;
  readonly courier: Courier;
  readonly settling: Settling;
  readonly limits: DispatchLimits;
}

/**
 * What is not settled by then is written down elsewhere, in milliseconds, so that the queue's entry is done with:
 * a receiver that hangs holds nothing but its own socket.
 */
const patienceMs = 1_000;
const sweepMs = 250;
/** Deliveries that may wait for one receiver in memory; further ones go to its shelf at once. */
const mostWaiting = 64;
/** How often it is looked whether a slot that is left is empty, in milliseconds. */
const leaveCheckMs = 20;

/**
 * Sends deliveries on their way: as many at once as the worker has room for, and of each lane as its gate allows.
 * Whatever waits or takes longer than the patience is on record outside the queue.
 */
export class Dispatch {
  readonly #o: DispatchOptions;
  /** On their way within the patience; in the order in which they set out. */
  readonly #young = new Set<Delivery>();
  readonly #old = new Set<Delivery>();
  /** Waiting for their lane; in the order in which they came. */
  readonly #waiting = new Set<Delivery>();
  /** Have their lane's permit, and wait for room. */
  readonly #ready = new Set<Delivery>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: DispatchOptions) {
    this.#o = options;
    options.lanes.onReady((lane) => this.#pump(lane));
  }

  /** What is under way, by what it does. */
  get counts(): Readonly<{ young: number; slow: number; waiting: number; ready: number }> {
    return {
      young: this.#young.size,
      slow: this.#old.size,
      waiting: this.#waiting.size,
      ready: this.#ready.size,
    };
  }

  start(): void {
    this.#timer = setInterval(() => this.#sweep(Date.now()), sweepMs).unref();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  /** Takes a delivery in; its record is settled when it is delivered, on record elsewhere, or unwanted. */
  offer(ref: SubscriptionRef, owed: Owed, attempts: number, record: Record): void {
    const lane = this.#o.lanes.of(ref);
    const id = deliveryId(ref.namespace, owed.publication);
    const delivery: Delivery = {
      ...{ lane, id, owed, attempts, record },
      since: Date.now(),
      moving: undefined,
    };
    const twin = lane.active.get(id);
    if (twin !== undefined) {
      this.#meet(twin, delivery);
      return;
    }
    if (record.on === 'queue' && record.entry.again) {
      // Whoever had it in hand may have laid it on its lane before: there it lies once.
      this.#shelve(delivery);
      return;
    }
    this.#wait(delivery);
    this.#pump(lane);
  }

  /** More lies on the lane; `attempts` were made of an ordered lane's first delivery, whose time has come. */
  nudge(ref: SubscriptionRef, attempts: number | undefined): void {
    const lane = this.#o.lanes.of(ref);
    if (attempts !== undefined) {
      lane.headWaits = false;
      lane.headAttempts = attempts;
    }
    this.#o.lanes.grown(lane);
    this.#pump(lane);
  }

  /**
   * Of this slot nothing new sets out; resolves when what waits is on its shelves, nothing is on its way, and what
   * became of all of it is on record: true then, false where the deadline came first.
   */
  async leave(slot: number, deadline: AbortSignal): Promise<boolean> {
    const { lanes } = this.#o;
    lanes.setLeaving(slot, true);
    for (const lane of lanes.ofSlot(slot)) this.#pump(lane);
    const busy = (): boolean =>
      lanes.ofSlot(slot).some(({ active, waiting, writing }) => active.size + waiting.size + writing > 0);
    while (!deadline.aborted && busy()) await sleep(leaveCheckMs);
    return !busy();
  }

  /** It waits for its lane. */
  #wait(delivery: Delivery): void {
    const { lane } = delivery;
    if (delivery.record.on === 'lane') {
      lane.page.unshift(delivery);
      return;
    }
    lane.waiting.add(delivery);
    this.#waiting.add(delivery);
  }

  /** The same delivery once more while it is on its way: one of the two records is enough. */
  #meet(twin: Delivery, again: Delivery): void {
    if (twin.record.on === 'appointment') {
      // The appointment that stood for it has come due.
      twin.record = again.record;
      this.#write(twin);
    } else {
      this.#settle(again);
    }
  }

  #pump(lane: Lane): void {
    if (this.#closed) return;
    const { lanes } = this.#o;
    const standing = lanes.standing(lane);
    if (standing === 'unknown') return;
    if (standing === 'ended') {
      this.#drop(lane);
      return;
    }
    if (standing === 'held') {
      this.#shelveAll(lane);
      return;
    }
    const { terms } = lane;
    if (terms === undefined) return;
    if (terms.ordered) this.#shelveAll(lane);
    let waitMs = 0;
    while (!(terms.ordered && lane.headWaits)) {
      const next = lane.next;
      if (next === undefined) break;
      const now = Date.now();
      waitMs = lane.gate.wait(now, lane.active.size, terms);
      if (waitMs > 0) break;
      lane.take(next);
      this.#waiting.delete(next);
      if (terms.ordered) next.attempts = lane.headAttempts;
      lane.gate.pass(now, terms);
      this.#begin(next, now);
    }
    if (lane.page.length === 0 && lane.behind) lanes.read(lane);
    if (waitMs === 0) return;
    if (waitMs > patienceMs || lane.waiting.size > mostWaiting) this.#shelveAll(lane);
    if (waitMs !== Infinity) lanes.wakeIn(lane, waitMs);
  }

  #begin(delivery: Delivery, now: number): void {
    delivery.lane.active.set(delivery.id, delivery);
    delivery.since = now;
    if (this.#young.size < this.#o.limits.concurrency) this.#run(delivery);
    else this.#ready.add(delivery);
  }

  #run(delivery: Delivery): void {
    this.#young.add(delivery);
    void this.#attempt(delivery).catch((error: unknown) => {
      if (!(error instanceof Stopped)) throw error;
    });
  }

  async #attempt(delivery: Delivery): Promise<void> {
    const { lane, owed, id } = delivery;
    const { namespace } = lane.ref;
    const { publication, cursor } = owed;
    const at = Date.now();
    delivery.since = at;
    const { subscription } = lane;
    if (this.#isUnwanted(delivery, at)) {
      this.#back(delivery);
      this.#settle(delivery);
      this.#pump(lane);
      return;
    }
    if (subscription === undefined) {
      // It has changed since the delivery got its permit: it is asked for again.
      this.#back(delivery);
      this.#wait(delivery);
      this.#pump(lane);
      return;
    }
    const attempt = delivery.attempts + 1;
    const { record } = delivery;
    const outcome = await this.#o.courier.attempt({
      ...{ why: 'publication', namespace, subscription, publication, cursor, id, attempt },
      ...(record.on === 'lane' && { place: record.sequence }),
    });
    this.#back(delivery);
    if (delivery.moving !== undefined) await delivery.moving;
    const nextAt = this.#o.settling.settle(delivery, subscription, outcome, () => this.#settle(delivery));
    this.#keep(delivery, at, attempt, outcome, nextAt);
    this.#pump(lane);
  }

  /** Nobody wants it any more. */
  #isUnwanted({ lane, owed: { publication } }: Delivery, now: number): boolean {
    const { expiresAt } = publication;
    return (
      lane.gone ||
      lane.ended ||
      (expiresAt !== undefined && expiresAt <= now) ||
      this.#o.deletions.has(lane.ref.namespace, publication)
    );
  }

  #keep(delivery: Delivery, at: number, attempt: number, outcome: Outcome, nextAt: number | undefined): void {
    const kept: Attempt = {
      ...outcome,
      ...{ id: delivery.id, why: 'publication', at, attempt },
      publication: publicationRef(delivery.owed),
      ...(nextAt !== undefined && { nextAt }),
    };
    this.#o.books.attempt(delivery.lane.ref, kept);
  }

  /** It is on its way no more: there is room for another. */
  #back(delivery: Delivery): void {
    delivery.lane.active.delete(delivery.id);
    this.#old.delete(delivery);
    this.#young.delete(delivery);
    this.#fill();
  }

  #fill(): void {
    while (this.#young.size < this.#o.limits.concurrency) {
      const [next] = this.#ready;
      if (next === undefined) return;
      this.#ready.delete(next);
      this.#run(next);
    }
  }

  /** Its record is needed no more. */
  #settle(delivery: Delivery): void {
    const { record, lane } = delivery;
    if (record.on === 'queue') record.entry.settle();
    else if (record.on === 'lane') this.#note(lane, this.#o.lanes.unshelve(lane, record.sequence));
    else this.#note(lane, this.#o.books.callOff(delivery));
  }

  #drop(lane: Lane): void {
    for (const delivery of [...lane.waiting, ...lane.page]) this.#settle(delivery);
    for (const delivery of lane.waiting) this.#waiting.delete(delivery);
    lane.waiting.clear();
    lane.page.length = 0;
    this.#o.lanes.clear(lane);
  }

  #shelveAll(lane: Lane): void {
    for (const delivery of lane.waiting) this.#shelve(delivery);
  }

  /** Lays it on its lane, from where it is read when its turn has come. */
  #shelve(delivery: Delivery): void {
    const { lane } = delivery;
    lane.waiting.delete(delivery);
    this.#waiting.delete(delivery);
    const shelved = this.#o.lanes.shelve(delivery).then(() => {
      this.#settle(delivery);
      this.#pump(lane);
    });
    this.#note(lane, shelved);
  }

  /** Makes an appointment for a delivery that is on its way, in place of its entry of the queue. */
  #write(delivery: Delivery): void {
    const { record } = delivery;
    if (record.on !== 'queue') return;
    const at = Date.now() + this.#o.limits.timeoutMs + graceMs;
    delivery.moving = this.#o.books.later(delivery, at).then(() => {
      delivery.record = { on: 'appointment' };
      delivery.moving = undefined;
      record.entry.settle();
    });
    this.#note(delivery.lane, delivery.moving);
  }

  /** Ends the patience with whatever has used it up. */
  #sweep(now: number): void {
    for (const delivery of this.#young) {
      if (now - delivery.since < patienceMs || this.#old.size >= this.#o.limits.slow) break;
      this.#young.delete(delivery);
      this.#old.add(delivery);
      this.#write(delivery);
    }
    this.#fill();
    for (const delivery of this.#waiting) {
      if (now - delivery.since < patienceMs) break;
      // Where its lane is not known yet the registry is slow, not the receiver; a forgotten lane never will be.
      const { lane } = delivery;
      if (lane.subscription !== undefined || !this.#o.lanes.holds(lane)) this.#shelve(delivery);
    }
    this.#o.entries.extend(now);
  }

  /** What is cut short by the end of the worker is on record; anything else is a bug. */
  #note(lane: Lane, work: Promise<void>): void {
    lane.note(work).catch((error: unknown) => {
      if (!(error instanceof Stopped)) throw error;
    });
  }
}
