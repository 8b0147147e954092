import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger, LedgerEntry } from '@pushfleet/bus';
import { Coalesced, type Namespace } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import { Lock } from '../index/lock.ts';
import type { Store } from '../redis.ts';
import type { Ending } from './ending.ts';
import type { Groups } from './groups.ts';
import type { SessionIndex } from './index.ts';
import { fillLock } from './keys.ts';
import { decodeRecord, type Held, isRef, keyOf, refOf } from './record.ts';

export interface FillingOptions {
  readonly store: Store;
  readonly ledger: Pick<Ledger, 'read' | 'get'>;
  readonly index: SessionIndex;
  readonly groups: Groups;
  readonly ending: Pick<Ending, 'unname'>;
  readonly log: Log;
}

/** Also where nothing is known to be lost the index is compared with the log so often, in milliseconds. */
const everyMs = 6 * 3_600_000;
const waitMs = 500;
const namesAtOnce = 500;

/** Makes the index from the log: where Redis has lost it or may lack the newest, and now and then. */
export class Filling {
  readonly counts = { filled: 0 };
  readonly #o: FillingOptions;
  readonly #closed = new AbortController();
  readonly #fills = new Coalesced(() => this.#fill(true));
  #timer: NodeJS.Timeout | undefined;
  #idle = true;

  constructor(options: FillingOptions) {
    this.#o = options;
    options.store.onReturn(() => {
      if (!this.#idle) void this.#returned(false);
    });
  }

  start(): void {
    this.#idle = false;
    void this.#returned(true);
    this.#timer = setInterval(() => void this.#fill(false).catch(this.#failed), everyMs).unref();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    clearInterval(this.#timer);
  }

  /** Settles once the index is filled, or could not be. */
  fill(): Promise<void> {
    return this.#fills.run().catch(this.#failed);
  }

  /** @param first what Redis holds is good, if it holds anything */
  async #returned(first: boolean): Promise<void> {
    const known = first && (await this.#o.groups.known().catch(() => false));
    for (let done = known; !done && !this.#closed.signal.aborted; ) {
      done = await this.#fills.run().then(
        () => true,
        (error: unknown) => {
          this.#failed(error);
          return false;
        },
      );
      if (!done) await sleep(waitMs, undefined, { signal: this.#closed.signal }).catch(() => {});
    }
  }

  /** @param lost whether members of groups may be missing */
  async #fill(lost: boolean): Promise<void> {
    const { store, ledger, groups } = this.#o;
    const lock = await this.#lock(store);
    try {
      if (lost) await groups.forget();
      const counts = new Map<Namespace, number>();
      const { pages } = await ledger.read();
      for await (const page of pages) {
        this.#closed.signal.throwIfAborted();
        if (!(await lock.keep())) throw new Error('another instance fills the index of sessions');
        await Promise.all(page.map((entry) => this.#enter(entry, counts)));
      }
      if (lost) await groups.begin(randomUUID().slice(0, 8), counts.keys());
      for (const [namespace, count] of counts) await this.#prune(namespace, count);
      this.counts.filled++;
    } finally {
      await lock.give();
    }
  }

  async #lock(store: Store): Promise<Lock> {
    for (;;) {
      this.#closed.signal.throwIfAborted();
      const lock = await Lock.take(store, fillLock);
      if (lock !== undefined) return lock;
      await sleep(waitMs, undefined, { signal: this.#closed.signal });
    }
  }

  async #enter({ key, value, revision }: LedgerEntry, counts: Map<Namespace, number>): Promise<void> {
    if (value === undefined || !isRef(key)) return;
    let held: Held;
    try {
      held = decodeRecord(key, value, revision);
    } catch (error) {
      return this.#o.log.error({ err: error, key }, 'the record of a session cannot be read');
    }
    const { namespace } = keyOf(held.record);
    counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    await Promise.all([this.#o.index.enter(held), this.#o.groups.enter(held)]);
  }

  /** Takes off the names of sessions that ended while nobody could. */
  async #prune(namespace: Namespace, count: number): Promise<void> {
    const { index, ledger, ending } = this.#o;
    if ((await index.count(namespace)) <= count) return;
    for (let low = '-'; ; ) {
      const keys = await index.names(namespace, low, '+', namesAtOnce);
      for (const key of keys) if ((await ledger.get(refOf(key))) === undefined) await ending.unname(key);
      const last = keys.at(-1);
      if (last === undefined || keys.length < namesAtOnce) return;
      low = `(${last.protocol} ${last.id}`;
    }
  }

  readonly #failed = (error: unknown): void => {
    this.#o.log.debug({ err: error }, 'the index of sessions could not be filled');
  };
}
