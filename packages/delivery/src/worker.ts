import { queueSlots, type Taken } from '@pushfleet/bus';
import type { Namespace } from '@pushfleet/core';
import type { Part } from '@pushfleet/runtime';
import type { Entry } from './entry.ts';
import { decodeJob, type Job, type Owed } from './job.ts';
import { type Machinery, wireMachinery } from './machinery.ts';
import type { DeliveryOptions } from './options.ts';
import { createPatience, type Patiently, Stopped, unlessStopped } from './patience.ts';
import { nameOf } from './place.ts';
import { type Holding, Shares } from './shares.ts';
import { Tenancy } from './tenancy.ts';
import { declareDeliveryMetrics } from './worker-metrics.ts';

/** Entries of a slot in this worker's hands at once. */
const inHand = 64;
/** How often the shelves are looked through for lanes that nobody has told of, in milliseconds. */
const auditMs = 60_000;
/** The workers of one kind of receiver: one part, to be started behind the log, the fleet and the registry. */
export function createDeliveryWorker(options: DeliveryOptions): Part {
  return new Worker(options);
}

/** What this instance has a share in, and what becomes of each entry that it is handed. */
class Worker implements Part {
  readonly name = 'deliveries';
  readonly #o: DeliveryOptions;
  readonly #closing = new AbortController();
  readonly #patiently: Patiently;
  readonly #parts: Machinery;
  readonly #slots: Shares;
  readonly #tenancies = new Map<number, Tenancy>();
  #readings: Shares | undefined;
  #auditing: Shares | undefined;
  #audit: NodeJS.Timeout | undefined;
  /** Until then a slot that is given back waits for what is on its way. */
  #deadline = new AbortController().signal;

  constructor(options: DeliveryOptions) {
    this.#o = options;
    const { fleet, service, metrics } = options;
    this.#patiently = createPatience(this.#closing.signal, options.log);
    this.#parts = wireMachinery(options, this.#patiently, this.#closing.signal);
    this.#slots = new Shares(fleet, service, queueSlots, (slot) => this.#holdSlot(slot));
    declareDeliveryMetrics(metrics, { ...this.#parts, slots: this.#slots });
  }

  async start(): Promise<void> {
    const { backbone, kind, fleet, service } = this.#o;
    const { subscribers, deletions, dispatch, expander } = this.#parts;
    subscribers.start();
    await this.#patiently('the deletions', () => deletions.start());
    dispatch.start();
    this.#slots.start();
    const tail = backbone.tail(kind);
    const shards = await this.#patiently('how many shards there are', async () => tail.shards);
    this.#readings = new Shares(fleet, service, shards, (shard) =>
      this.#hold('the log', () => tail.read(shard, (batch) => expander.expand(batch))),
    );
    this.#readings.start();
    const { audit } = this.#parts;
    if (audit !== undefined) {
      this.#auditing = new Shares(fleet, service, 1, () => audit.hold());
      this.#auditing.start();
    }
    this.#audit = setInterval(() => this.#auditLanes(), auditMs).unref();
  }

  /** Hands slots and shards to others; what is on its way is waited for. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#deadline = deadline;
    clearInterval(this.#audit);
    await Promise.all([this.#auditing?.stop(), this.#readings?.stop(), this.#slots.stop()]);
    await this.#parts.books.flush();
  }

  async close(): Promise<void> {
    clearInterval(this.#audit);
    this.#closing.abort();
    this.#deadline = this.#closing.signal;
    const { books, entries, dispatch, lanes, deletions, subscribers } = this.#parts;
    entries.tell();
    for (const one of [dispatch, lanes, deletions, subscribers]) one.close();
    await Promise.all([this.#auditing?.stop(), this.#readings?.stop(), this.#slots.stop()]);
    await books.flush();
  }

  #holdSlot(slot: number): Holding {
    const { queue, lanes, dispatch, entries } = this.#parts;
    const tenancy = new Tenancy(slot, { queue, lanes, patiently: this.#patiently });
    this.#tenancies.set(slot, tenancy);
    const owning = this.#hold('a slot', () =>
      queue.own(
        slot,
        inHand,
        (taken) => {
          if (!tenancy.known) tenancy.served(taken.first);
          this.#take(taken, tenancy);
        },
        () => tenancy.lost(),
      ),
    );
    return {
      stop: async () => {
        const clean = await dispatch.leave(slot, this.#deadline);
        entries.tell();
        await owning.stop();
        await tenancy.end(clean);
        this.#tenancies.delete(slot);
      },
    };
  }

  /** Holds something from when it can be had until it is given back. */
  #hold(what: string, open: () => Promise<{ stop(): Promise<void> }>): Holding {
    const opened = this.#patiently(what, open).catch(unlessStopped);
    return { stop: async () => void (await (await opened)?.stop()) };
  }

  #auditLanes(): void {
    for (const tenancy of this.#tenancies.values()) tenancy.audit();
  }

  #take(taken: Taken, tenancy: Tenancy): void {
    let job: Job;
    try {
      job = decodeJob(taken.body);
    } catch (error) {
      this.#o.log.error({ err: error, bytes: taken.body.length }, 'an entry of the queue cannot be read');
      taken.done();
      return;
    }
    const open = 'ids' in job ? job.ids.length : 1;
    const entry = this.#parts.entries.take(taken, open);
    void this.#work(job, entry, tenancy).catch((error: unknown) => {
      if (!(error instanceof Stopped))
        this.#o.log.error({ err: error, job: job.kind }, 'work failed; once more');
      entry.back();
    });
  }

  async #work(job: Job, entry: Entry, tenancy: Tenancy): Promise<void> {
    switch (job.kind) {
      case 'knock':
        break;
      case 'left':
        // One that comes again was heard before, by an owner that may not have left.
        if (!entry.again) tenancy.vacated();
        break;
      case 'deliver':
        this.#offerAll(job.namespace, job.ids, job.owed, entry);
        return;
      case 'fetch': {
        const owed = await this.#patiently('what is owed', () => this.#parts.owed.get(job.place));
        this.#offerAll(job.namespace, job.ids, owed, entry);
        return;
      }
      case 'again': {
        const { owed: place, attempts } = job.reference;
        const owed = await this.#patiently('what is owed', () => this.#parts.owed.get(place));
        if (owed === undefined) entry.settle();
        else this.#parts.dispatch.offer(nameOf(job), owed, attempts, { on: 'queue', entry });
        return;
      }
      case 'nudge':
        this.#parts.dispatch.nudge(nameOf(job), job.attempts);
        break;
      case 'expand':
        await this.#parts.expander.proceed(job);
        break;
      case 'replay':
        await this.#parts.replays.replay(job);
        break;
      case 'redeliver':
        await this.#parts.replays.redeliver(job);
        break;
      case 'call':
        await this.#parts.calls.run(job, () => entry.settle());
        return;
    }
    entry.settle();
  }

  #offerAll(namespace: Namespace, ids: readonly string[], owed: Owed | undefined, entry: Entry): void {
    for (const id of ids) {
      if (owed === undefined) entry.settle();
      else this.#parts.dispatch.offer({ namespace, id }, owed, 0, { on: 'queue', entry });
    }
  }
}
