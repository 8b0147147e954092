import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger, LedgerEntry } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log } from '@pushfleet/runtime';
import { readRecord } from './record.ts';
import type { RecordLedger } from './record-ledger.ts';
import type { Sealing } from './sealing.ts';

export interface ResealerOptions {
  readonly ledger: Pick<Ledger, 'read'>;
  readonly records: Pick<RecordLedger, 'replace'>;
  readonly sealing: Sealing;
  readonly log: Log;
  /** Between two passes over all records, in milliseconds. */
  readonly everyMs?: number;
  /** Between two records, in milliseconds. */
  readonly pauseMs?: number;
}

/** Two hundred a second: a million records in under an hour and a half, and workers that read each of them again. */
const pauseMs = 5;
const everyMs = 60_000;

/**
 * Seals what is under an older key anew, in the background. Where there is one key there is nothing to exchange, and
 * nothing is read.
 */
export class Resealer {
  readonly #options: ResealerOptions;
  readonly #closed = new AbortController();
  /** All up to this revision is sealed under the first key. */
  #done = 0;
  #outdated: number | undefined;

  constructor(options: ResealerOptions) {
    this.#options = options;
  }

  /** Records that hold secrets under an older or a missing key; undefined while it is not known. */
  get outdated(): number | undefined {
    return this.#outdated;
  }

  start(): void {
    if (this.#options.sealing.keys > 1) void this.#run();
  }

  close(): void {
    this.#closed.abort();
  }

  // Another instance that still has the keys in their old order may seal under an older one: one pass is not enough.
  async #run(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      try {
        await this.#pass();
      } catch (error) {
        const line = 'secrets under an older key cannot be sealed anew; trying on';
        this.#options.log.warn({ err: error }, line);
      }
      await this.#sleep(this.#options.everyMs ?? everyMs);
    }
  }

  /** Counts first, so that the operator sees how many are left, and reads again what it seals: it may take hours. */
  async #pass(): Promise<void> {
    const { ledger } = this.#options;
    let count = 0;
    const { head, pages } = await ledger.read({ after: this.#done });
    for await (const _ of this.#among(pages)) count++;
    this.#outdated = count;
    if (count > 0) {
      const { pages: again } = await ledger.read({ after: this.#done });
      for await (const record of this.#among(again)) {
        if (await this.#reseal(record)) this.#outdated = Math.max(0, --count);
        await this.#sleep(this.#options.pauseMs ?? pauseMs);
      }
    }
    if (count <= 0 && !this.#closed.signal.aborted) this.#done = head;
  }

  async *#among(pages: AsyncIterable<readonly LedgerEntry[]>): AsyncIterable<Subscription> {
    for await (const page of pages) {
      for (const entry of page) {
        if (this.#closed.signal.aborted) return;
        const record = readRecord(entry);
        if (record !== undefined && this.#options.sealing.isOutdated(record)) yield record;
      }
    }
  }

  /** Whether it is no longer under an older key, or another record. */
  async #reseal(record: Subscription): Promise<boolean> {
    const { sealing, records, log } = this.#options;
    try {
      await records.replace(sealing.seal(sealing.open(record)));
      return true;
    } catch (error) {
      if (!(error instanceof PushfleetError)) throw error;
      // Changed meanwhile: the next pass sees it.
      if (error.code === 'conflict' || error.code === 'not_found') return true;
      const { namespace, id } = record;
      log.error({ err: error, namespace, id }, 'the secrets of a subscription cannot be sealed anew');
      return false;
    }
  }

  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closed.signal, ref: false }).catch(() => {});
  }
}
