import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ShelfDraft } from '@pushfleet/bus';
import type { Log } from '@pushfleet/runtime';
import type { Attempt, PublicationRef } from './attempt.ts';
import { type DeliveryStores, forgetAll } from './delivery-stores.ts';
import { encodeJob, encodeJson, type Job, type Owed, type Reference } from './job.ts';
import type { Delivery, Lane } from './lane.ts';
import type { OwedShelf } from './owed-shelf.ts';
import type { Patiently } from './patience.ts';
import { keyOf, laneKey, nameOf, type SubscriptionRef, shortHash, slotOf } from './place.ts';

/** A dead letter as it lies on its shelf. */
export interface Buried extends Reference {
  readonly id: string;
  readonly at: number;
  readonly reason: string;
  readonly publication: PublicationRef;
}

export interface BooksOptions extends DeliveryStores {
  readonly owed: OwedShelf;
  readonly limits: { readonly queueMs: number; readonly attemptsMs: number; readonly deadLettersMs: number };
  readonly patiently: Patiently;
  readonly log: Log;
}

/** Attempts are written together, so long after the first, in milliseconds: each alone would be a write. */
const attemptsMs = 10;
/** Attempts that may wait to be written; beyond, they are dropped and counted. */
const mostPending = 10_000;
/** Replays of one subscription that may wait for room on its lane. */
const mostReplays = 100;

/**
 * Writes down what becomes of deliveries: their next attempt, their place in their lane, their end. Every method
 * but `attempt` resolves once it is stored, however long that takes, and rejects with Stopped when the worker closes.
 */
export class Books {
  readonly #o: BooksOptions;
  #attempts: { readonly key: string; readonly body: Uint8Array; readonly ttlMs: number }[] = [];
  #writing: Promise<void> | undefined;
  #removals: number[] = [];
  #removing: Promise<void> | undefined;
  /** Attempts that could not be kept for their owners. */
  dropped = 0;

  constructor(options: BooksOptions) {
    this.#o = options;
  }

  /** The delivery's next attempt: at that time it comes back by the queue. */
  later(delivery: Delivery, at: number): Promise<void> {
    return this.#o.patiently('the next attempt of a delivery', async () => {
      const { ref, slot } = delivery.lane;
      const reference = await this.#refer(delivery);
      const body = encodeJob({ kind: 'again', ...ref, reference });
      await this.#o.queue.later([{ slot, key: `${keyOf(ref)}/${delivery.id}`, at, body }]);
    });
  }

  /** There will be no such attempt. */
  callOff(delivery: Delivery): Promise<void> {
    const { ref, slot } = delivery.lane;
    return this.#o.patiently('the end of a delivery', () =>
      this.#o.queue.cancel(slot, `${keyOf(ref)}/${delivery.id}`),
    );
  }

  /** The first delivery of an ordered lane is tried again at that time. */
  headLater({ ref, slot }: Lane, attempts: number, at: number): Promise<void> {
    const body = encodeJob({ kind: 'nudge', ...ref, attempts });
    return this.#o.patiently('the next attempt of a lane', () =>
      this.#o.queue.later([{ slot, key: headKey(ref), at, body }]),
    );
  }

  /** A call that no publication is behind is tried again at that time. */
  callLater(call: Extract<Job, { kind: 'call' }>, at: number): Promise<void> {
    const appointment = {
      slot: slotOf(call),
      key: `${keyOf(call)}/${call.delivery}`,
      at,
      body: encodeJob(call),
    };
    return this.#o.patiently('the next attempt of a call', () => this.#o.queue.later([appointment]));
  }

  /** There will be no such attempt. */
  callOffCall(call: Extract<Job, { kind: 'call' }>): Promise<void> {
    return this.#o.patiently('the end of a call', () =>
      this.#o.queue.cancel(slotOf(call), `${keyOf(call)}/${call.delivery}`),
    );
  }

  /** Whether `headLater` was called for the lane, by whomever, and its time has not come. */
  headWaits({ ref, slot }: Lane): Promise<boolean> {
    return this.#o.patiently(
      'the state of a lane',
      async () => (await this.#o.queue.appointments(slot, headKey(ref))) > 0,
    );
  }

  /**
   * Lays the delivery at the end of its lane. An entry of the queue that has come again, because a worker or the broker
   * died in between, lays it there once.
   */
  shelve(delivery: Delivery): Promise<void> {
    const { lane, owed, record } = delivery;
    const stored = record.on === 'queue' ? record.entry.time : randomUUID();
    const id = shortHash(`${lane.key}\0${owed.cursor}\0${stored}`);
    return this.#o.patiently('a delivery that waits', async () => {
      await this.#o.lanes.append([this.#laneDraft(lane.ref, id, await this.#refer(delivery))]);
    });
  }

  /** Lays deliveries at the end of a lane, in this order, also those that lay there before. */
  shelveReferences(ref: SubscriptionRef, references: readonly Reference[]): Promise<void> {
    const drafts = references.map((reference) => this.#laneDraft(ref, randomUUID(), reference));
    return this.#o.patiently('a delivery that waits', async () => void (await this.#o.lanes.append(drafts)));
  }

  #laneDraft(ref: SubscriptionRef, id: string, reference: Reference): ShelfDraft {
    const key = laneKey(this.#o.kind, ref);
    return { key, id, body: encodeJson(reference), ttlMs: this.#o.limits.queueMs };
  }

  /** Says to the owner of the lane's slot, this worker or another, that something lies there. */
  nudge({ ref, slot }: Pick<Lane, 'ref' | 'slot'>): Promise<void> {
    const entry = { slot, id: randomUUID(), body: encodeJob({ kind: 'nudge', ...nameOf(ref) }) };
    return this.#o.patiently('a nudge', () => this.#o.queue.put([entry]));
  }

  /** The rest of a replay, behind what its slot has now. */
  replayOn(job: Extract<Job, { kind: 'replay' }>): Promise<void> {
    const entry = { slot: slotOf(job), id: randomUUID(), body: encodeJob(job) };
    return this.#o.patiently('the rest of a replay', () => this.#o.queue.put([entry]));
  }

  /** The rest of a replay, at that time. False where too many of the subscription wait already. */
  replayLater(job: Extract<Job, { kind: 'replay' }>, at: number): Promise<boolean> {
    const [slot, waiting] = [slotOf(job), `${keyOf(job)}/replay`];
    const appointment = { slot, key: `${waiting}/${randomUUID()}`, at, body: encodeJob(job) };
    return this.#o.patiently('the rest of a replay', async () => {
      if ((await this.#o.queue.appointments(slot, waiting)) >= mostReplays) return false;
      await this.#o.queue.later([appointment]);
      return true;
    });
  }

  /** Takes an entry off its lane; many in a turn go together. */
  unshelve(sequence: number): Promise<void> {
    this.#removals.push(sequence);
    this.#removing ??= this.#remove();
    return this.#removing;
  }

  /** Gives the delivery up: a dead letter, where somebody looks after it. */
  bury(delivery: Delivery, attempts: number, reason: string): Promise<void> {
    if (this.#o.ownerless) return Promise.resolve();
    return this.#o.patiently('a dead letter', async () => {
      const { owed } = await this.#refer(delivery);
      const letter: Buried = {
        ...{ owed, attempts, id: delivery.id, at: Date.now(), reason },
        publication: publicationRef(delivery.owed),
      };
      const { deadLettersMs: ttlMs } = this.#o.limits;
      // By the delivery and its attempts: writing it down twice makes one letter.
      const id = shortHash(`${delivery.lane.key}/${delivery.id}/${attempts}/${owed}`);
      await this.#o.dead.append([{ key: delivery.lane.key, id, body: encodeJson(letter), ttlMs }]);
    });
  }

  /** Keeps an attempt for the owner of the subscription. Nothing waits for it, and under load it may be dropped. */
  attempt(ref: SubscriptionRef, attempt: Attempt): void {
    if (this.#o.ownerless) return;
    if (this.#attempts.length >= mostPending) {
      this.dropped++;
      return;
    }
    const { attemptsMs: ttlMs } = this.#o.limits;
    this.#attempts.push({ key: keyOf(ref), body: encodeJson(attempt), ttlMs });
    this.#writing ??= this.#writeAttempts();
  }

  /** Resolves when the attempts made so far are kept, or cannot be. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /** Removes all that is kept of a subscription that has ended. */
  forget({ ref }: Pick<Lane, 'ref'>): Promise<void> {
    return this.#o.patiently('the end of a subscription', () => forgetAll(this.#o, ref));
  }

  async #refer({ lane, owed, attempts }: Delivery): Promise<Reference> {
    return { owed: await this.#o.owed.keep(lane.ref.namespace, owed), attempts };
  }

  async #writeAttempts(): Promise<void> {
    while (this.#attempts.length > 0) {
      await sleep(attemptsMs);
      const batch = this.#attempts;
      this.#attempts = [];
      try {
        await this.#o.attempts.append(batch);
      } catch (error) {
        this.dropped += batch.length;
        this.#o.log.warn(
          { err: error, attempts: batch.length },
          'attempts could not be kept for their owners',
        );
      }
    }
    this.#writing = undefined;
  }

  async #remove(): Promise<void> {
    await new Promise(setImmediate);
    const sequences = this.#removals;
    this.#removals = [];
    this.#removing = undefined;
    await this.#o.patiently('the end of deliveries', () => this.#o.lanes.remove(sequences));
  }
}

const headKey = (ref: SubscriptionRef): string => `${keyOf(ref)}/head`;

/** What an attempt or a dead letter says of its publication. */
export function publicationRef({ publication, cursor }: Owed): PublicationRef {
  const { id, source, topic, type } = publication;
  return { id, source, topic, cursor, ...(type !== undefined && { type }) };
}
