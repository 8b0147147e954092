import type { Queue, Stores, Taken } from '@pushfleet/bus';
import { queueSlots } from '@pushfleet/bus';
import type { Backbone, Namespace } from '@pushfleet/core';
import type { SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Fleet, Log, Metrics, Part, RevocationList } from '@pushfleet/runtime';
import { Books } from './books.ts';
import { Calls } from './calls.ts';
import type { Courier } from './courier.ts';
import { Deletions } from './deletions.ts';
import { Dispatch } from './dispatch.ts';
import { Entry } from './entry.ts';
import { Expander } from './expander.ts';
import { createHookNews } from './hooks.ts';
import { decodeJob, type Job, type Owed } from './job.ts';
import { LaneBook } from './lane-book.ts';
import { OwedShelf } from './owed-shelf.ts';
import { Stopped, untilDone } from './patience.ts';
import { nameOf } from './place.ts';
import { Replays } from './replays.ts';
import { horizonMs } from './retry.ts';
import { Settling } from './settling.ts';
import { type Holding, Shares } from './shares.ts';
import { Subscribers, type SubscriptionCalls } from './subscribers.ts';
import { declareDeliveryMetrics } from './worker-metrics.ts';

/** Every bound and time of a worker. Times are milliseconds. */
export interface DeliveryLimits {
  /** After the first attempt the second comes so much later, and so on; behind the last is a dead letter. */
  readonly retryMs: readonly number[];
  /** Most deliveries on their way at once that answer in time. */
  readonly concurrency: number;
  /** Most deliveries on their way at once that do not. */
  readonly slow: number;
  /** Most deliveries to one receiver at once, where its subscription does not say. */
  readonly endpointConcurrency: number;
  /** Most deliveries a second to one receiver, where its subscription does not say. */
  readonly endpointRate: number;
  /** No attempt takes longer. */
  readonly timeoutMs: number;
  /** A receiver that failed so often in a row is left alone for a while. */
  readonly breakerFailures: number;
  /** For how long, at first; doubles up to sixteen times as long. */
  readonly breakerMs: number;
  /** A subscription that has failed for so long is suspended. */
  readonly suspendAfterMs: number;
  /** Most deliveries that wait for one receiver; beyond, its subscription is suspended. */
  readonly queue: number;
  /** How long what waits for its receiver is kept. */
  readonly queueMs: number;
  readonly attemptsMs: number;
  readonly deadLettersMs: number;
}

export interface DeliveryOptions {
  /** Names the queue, the lanes and the tail: `webhook`. */
  readonly kind: string;
  readonly subscriptionKind: SubscriptionKind;
  /** The service whose instances share the work, as `fleet` knows it. */
  readonly service: string;
  readonly backbone: Backbone & Stores;
  readonly fleet: Pick<Fleet, 'instance' | 'instances'>;
  readonly registry: SubscriptionCalls;
  readonly revocations: RevocationList;
  readonly courier: Courier;
  readonly limits: DeliveryLimits;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Entries of a slot in this worker's hands at once. */
const inHand = 64;
/** How often the shelves are looked through for lanes that nobody has told of, in milliseconds. */
const auditMs = 60_000;

/** The workers of one kind of receiver: one part, to be started behind the log, the fleet and the registry. */
export function createDeliveryWorker(options: DeliveryOptions): Part {
  return new Worker(options);
}

class Worker implements Part {
  readonly name = 'deliveries';
  readonly #o: DeliveryOptions;
  readonly #closing = new AbortController();
  readonly #queue: Queue;
  readonly #owed: OwedShelf;
  readonly #books: Books;
  readonly #subscribers: Subscribers;
  readonly #deletions: Deletions;
  readonly #lanes: LaneBook;
  readonly #dispatch: Dispatch;
  readonly #expander: Expander;
  readonly #calls: Calls;
  readonly #replays: Replays;
  readonly #slots: Shares;
  #readings: Shares | undefined;
  #audit: NodeJS.Timeout | undefined;
  #deadline = AbortSignal.timeout(2 ** 31 - 1);

  constructor(o: DeliveryOptions) {
    this.#o = o;
    const { backbone, kind, limits, log, courier } = o;
    const closing = this.#closing.signal;
    const lanes = backbone.shelf('lanes');
    const dead = backbone.shelf('dead');
    const attempts = backbone.shelf('attempts');
    const news = createHookNews(backbone, o.service, log);
    this.#queue = backbone.queue(kind);
    const longestMs = limits.queueMs + horizonMs(limits.retryMs) + limits.deadLettersMs;
    const owed = new OwedShelf(backbone.shelf('owed'), longestMs);
    this.#owed = owed;
    const books = new Books({ kind, queue: this.#queue, lanes, dead, attempts, owed, limits, log });
    this.#books = books;
    const subscribers = new Subscribers(o.registry, o.subscriptionKind);
    this.#subscribers = subscribers;
    this.#deletions = new Deletions(backbone.ledger('deletions'), log);
    const settling = new Settling({ books, subscribers, news, limits, log, closing });
    this.#lanes = new LaneBook({
      ...{ kind, shelf: lanes, owed, books, subscribers, revocations: o.revocations, limits },
      ...{ onStop: (lane, reason) => settling.stop(lane, reason), log, closing },
    });
    this.#dispatch = new Dispatch({
      ...{ lanes: this.#lanes, books, deletions: this.#deletions, courier, settling, limits, log },
    });
    this.#expander = new Expander({
      ...{ kind, subscriptionKind: o.subscriptionKind, registry: o.registry, queue: this.#queue, lanes },
      ...{ owed, deletions: this.#deletions, queueMs: limits.queueMs, log, closing },
    });
    const { signals } = backbone;
    this.#calls = new Calls({
      ...{ backbone, signals, subscribers, books, courier, news, retryMs: limits.retryMs, log, closing },
    });
    this.#replays = new Replays({ backbone, subscribers, books, dead, owed, news, log, closing });
    this.#slots = new Shares(o.fleet, o.service, queueSlots, (slot) => this.#holdSlot(slot));
    declareDeliveryMetrics(o.metrics, {
      ...{
        dispatch: this.#dispatch,
        lanes: this.#lanes,
        expander: this.#expander,
        slots: this.#slots,
        books,
      },
    });
  }

  async start(): Promise<void> {
    const { backbone, kind, fleet, service } = this.#o;
    this.#subscribers.start();
    await this.#until('the deletions', () => this.#deletions.start());
    this.#dispatch.start();
    this.#slots.start();
    const tail = backbone.tail(kind);
    this.#readings = new Shares(fleet, service, tail.shards, (shard) =>
      this.#hold('the log', () => tail.read(shard, (batch) => this.#expander.expand(batch))),
    );
    this.#readings.start();
    this.#audit = setInterval(() => this.#slots.each((slot) => void this.#find(slot)), auditMs).unref();
  }

  /** Hands slots and shards to others; what is on its way is waited for. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#deadline = deadline;
    clearInterval(this.#audit);
    await Promise.all([this.#readings?.stop(), this.#slots.stop()]);
  }

  async close(): Promise<void> {
    clearInterval(this.#audit);
    this.#closing.abort();
    this.#books.close();
    this.#dispatch.close();
    this.#lanes.close();
    this.#deletions.close();
    this.#subscribers.close();
    await Promise.all([this.#readings?.stop(), this.#slots.stop()]);
  }

  #holdSlot(slot: number): Holding {
    const owning = this.#hold('a slot', () => this.#queue.own(slot, inHand, (taken) => this.#take(taken)));
    void this.#find(slot);
    return {
      stop: async () => {
        await this.#dispatch.leave(slot, this.#deadline);
        await owning.stop();
        for (const lane of this.#lanes.ofSlot(slot)) {
          if (lane.behind || lane.page.length > 0) await this.#books.nudge(lane).catch(unlessStopped);
          this.#lanes.forget(lane);
        }
        this.#lanes.setLeaving(slot, false);
      },
    };
  }

  /** Holds something from when it can be had until it is given back. */
  #hold(what: string, open: () => Promise<{ stop(): Promise<void> }>): Holding {
    const opened = this.#until(what, open).catch(unlessStopped);
    return { stop: async () => void (await (await opened)?.stop()) };
  }

  async #find(slot: number): Promise<void> {
    await this.#until('the lanes of a slot', () => this.#lanes.find(slot)).catch(unlessStopped);
  }

  #take(taken: Taken): void {
    let job: Job;
    try {
      job = decodeJob(taken.body);
    } catch (error) {
      this.#o.log.error({ err: error, bytes: taken.body.length }, 'an entry of the queue cannot be read');
      taken.done();
      return;
    }
    const open = 'ids' in job ? job.ids.length : 1;
    const entry = new Entry(taken, open, Date.now(), this.#dispatch.release);
    this.#dispatch.hold(entry);
    void this.#work(job, entry).catch((error: unknown) => {
      if (!(error instanceof Stopped))
        this.#o.log.error({ err: error, job: job.kind }, 'work failed; once more');
      entry.back();
    });
  }

  async #work(job: Job, entry: Entry): Promise<void> {
    switch (job.kind) {
      case 'deliver':
        this.#offerAll(job.namespace, job.ids, job.owed, entry);
        return;
      case 'fetch': {
        const owed = await this.#until('what is owed', () => this.#owed.get(job.place));
        this.#offerAll(job.namespace, job.ids, owed, entry);
        return;
      }
      case 'again': {
        const { owed: place, attempts } = job.reference;
        const owed = await this.#until('what is owed', () => this.#owed.get(place));
        if (owed === undefined) entry.settle();
        else this.#dispatch.offer(nameOf(job), owed, attempts, { on: 'queue', entry });
        return;
      }
      case 'nudge':
        this.#dispatch.nudge(nameOf(job), job.attempts);
        break;
      case 'expand':
        await this.#expander.proceed(job);
        break;
      case 'replay':
        await this.#replays.replay(job);
        break;
      case 'redeliver':
        await this.#replays.redeliver(job);
        break;
      case 'call':
        await this.#calls.run(job);
    }
    entry.settle();
  }

  #offerAll(namespace: Namespace, ids: readonly string[], owed: Owed | undefined, entry: Entry): void {
    for (const id of ids) {
      if (owed === undefined) entry.settle();
      else this.#dispatch.offer({ namespace, id }, owed, 0, { on: 'queue', entry });
    }
  }

  #until<T>(what: string, run: () => Promise<T>): Promise<T> {
    return untilDone(what, this.#closing.signal, this.#o.log, run);
  }
}

/** What was cut short by the end of this worker is on record. */
function unlessStopped(error: unknown): undefined {
  if (!(error instanceof Stopped)) throw error;
}
