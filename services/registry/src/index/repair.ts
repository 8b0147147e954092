import { setTimeout as sleep } from 'node:timers/promises';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import { applySteps } from './apply.ts';
import { forgetMs, namespaceOf, revisionOf } from './following.ts';
import { lockKey } from './keys.ts';
import { Lock } from './lock.ts';
import { type RebuildOptions, rebuild } from './rebuild.ts';
import type { Summary, SummaryStore } from './summary.ts';

export interface RepairOptions extends Omit<RebuildOptions, 'era' | 'lock' | 'signal'> {
  readonly log: Log;
  readonly summaries: SummaryStore;
  /** Of the log that this instance follows. */
  readonly era: () => string;
  /** Whether Redis has all of the namespace that this instance knows of. */
  readonly whole: (namespace: Namespace) => Promise<boolean>;
}

/** A question waits so long for a repair, in milliseconds; then it is told to come again. */
const patienceMs = 1_000;
const retryMs = 1_000;
const askMs = 50;

/** Makes good what Redis lost: the end of a namespace after a failover, or all of it. */
export class Repair {
  readonly #o: RepairOptions;
  readonly #wanted = new Set<Namespace>();
  readonly #catching = new Map<Namespace, Promise<void>>();
  readonly #works = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;
  #runningAll: Promise<Summary> | undefined;
  /** What was done since the start of this instance. */
  readonly counts = { caught: 0, rebuilt: 0 };

  constructor(options: RepairOptions) {
    this.#o = options;
  }

  /**
   * Makes a namespace whole whose mark, set at `at`, is behind the log; -1: it has none.
   *
   * @throws PushfleetError `unavailable` without Redis or the log, and where it takes longer than a moment
   */
  async heal(namespace: Namespace, mark: number, at: number): Promise<void> {
    // What ended since the mark is still in the log if the mark is young. How old the loss is, nobody knows.
    const young = mark >= 0 && this.#o.now() - at < forgetMs;
    await patiently(young ? this.#catchUp(namespace, mark) : this.#rebuild(namespace));
  }

  /** Rebuilds everything. @throws PushfleetError `unavailable`, also where it takes longer than a moment */
  async all(era: string): Promise<Summary> {
    this.#runningAll ??= this.#rebuildAll(era).finally(() => {
      this.#runningAll = undefined;
    });
    return patiently(this.#runningAll);
  }

  /** Leaves what is not done to others, who need not wait for the lock to end. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.race([Promise.allSettled(this.#works), pause()]);
  }

  #catchUp(namespace: Namespace, mark: number): Promise<void> {
    const running = this.#catching.get(namespace) ?? this.#applyFrom(namespace, mark);
    this.#catching.set(namespace, running);
    const over = () => {
      if (this.#catching.get(namespace) === running) this.#catching.delete(namespace);
    };
    running.then(over, over);
    return running;
  }

  async #applyFrom(namespace: Namespace, mark: number): Promise<void> {
    const { ledger, changeOf } = this.#o;
    const { head, pages } = await ledger.read({ after: mark });
    let previous = mark;
    for await (const page of pages) {
      const changes = page
        .flatMap((entry) => changeOf(entry) ?? [])
        .filter((one) => namespaceOf(one) === namespace);
      const to = changes.reduce((_, change) => revisionOf(change), previous);
      await applySteps({ ...this.#o, era: this.#o.era() }, [{ namespace, changes, previous, to }]);
      previous = to;
    }
    await applySteps({ ...this.#o, era: this.#o.era() }, [{ namespace, changes: [], previous, to: head }]);
    this.counts.caught++;
  }

  /** One reading of the log for all namespaces that want it when it begins. */
  #rebuild(namespace: Namespace): Promise<void> {
    this.#wanted.add(namespace);
    this.#running ??= this.#rebuildWanted().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #rebuildWanted(): Promise<void> {
    while (this.#wanted.size > 0) {
      const wanted = [...this.#wanted];
      this.#wanted.clear();
      await this.#locked(async (lock) => {
        const broken = new Set<Namespace>();
        for (const namespace of wanted) if (!(await this.#o.whole(namespace))) broken.add(namespace);
        if (broken.size > 0) await this.#make(broken, this.#o.era(), lock);
      });
    }
  }

  #rebuildAll(era: string): Promise<Summary> {
    return this.#locked(async (lock) => {
      const known = await this.#o.summaries.load(era);
      const { head } = await this.#o.ledger.read();
      if (known !== undefined && known.to <= head) return known;
      const summary = await this.#make(undefined, era, lock);
      await this.#o.summaries.replace(summary);
      return summary;
    });
  }

  async #make(namespaces: ReadonlySet<Namespace> | undefined, era: string, lock: Lock): Promise<Summary> {
    const begun = this.#o.now();
    const many = namespaces?.size ?? 'all';
    this.#o.log.info({ namespaces: many }, 'the index of subscriptions is being built from the log');
    const summary = await rebuild({ ...this.#o, era, lock, signal: this.#closed.signal }, namespaces);
    this.counts.rebuilt++;
    this.#o.log.info(
      { namespaces: many, ms: this.#o.now() - begun },
      'the index of subscriptions is complete',
    );
    return summary;
  }

  #locked<T>(work: (lock: Lock) => Promise<T>): Promise<T> {
    const held = this.#hold(work);
    this.#works.add(held);
    const over = () => this.#works.delete(held);
    held.then(over, over);
    return held;
  }

  async #hold<T>(work: (lock: Lock) => Promise<T>): Promise<T> {
    const lock = await this.#take();
    try {
      return await work(lock);
    } catch (error) {
      if (!(error instanceof PushfleetError)) throw rebuilding(error);
      throw error;
    } finally {
      await lock.give();
    }
  }

  /** What another does now may be what is wanted here; it is mostly over at once. */
  async #take(): Promise<Lock> {
    for (let waited = 0; waited <= patienceMs && !this.#closed.signal.aborted; waited += askMs) {
      const lock = await Lock.take(this.#o.store, lockKey);
      if (lock !== undefined) return lock;
      await sleep(askMs, undefined, { ref: false });
    }
    throw rebuilding();
  }
}

const pause = () => sleep(patienceMs, undefined, { ref: false });

async function patiently<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {});
  const late = pause().then(() => {
    throw rebuilding();
  });
  return Promise.race([work, late]);
}

export const rebuilding = (cause?: unknown): PushfleetError =>
  new PushfleetError(
    'unavailable',
    'The index of subscriptions is being rebuilt from the log. Try again in a moment.',
    {
      cause,
      retryAfterMs: retryMs,
    },
  );
