import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger, LedgerEntry } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import type {
  SubscriptionChange,
  SubscriptionKind,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log } from '@pushfleet/runtime';
import { kindOf, parseRecordKey, readRecord } from './record.ts';

const retryMs = 1_000;

interface Watcher {
  /** Empty: all. */
  readonly kinds: ReadonlySet<SubscriptionKind>;
  readonly on: (change: SubscriptionChange) => void;
}

/** Follows the log's changes of subscriptions and tells whoever watches here. */
export class Changes {
  readonly #ledger: Pick<Ledger, 'read' | 'watch'>;
  readonly #log: Log;
  readonly #watchers = new Set<Watcher>();
  readonly #closed = new AbortController();
  #following: { stop(): void } | undefined;

  constructor(ledger: Pick<Ledger, 'read' | 'watch'>, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  get following(): boolean {
    return this.#following !== undefined;
  }

  /** Begins to follow the log, and tries until it can or is closed. */
  async start(): Promise<void> {
    for (let failures = 0; !this.#closed.signal.aborted; failures++) {
      try {
        const { head } = await this.#ledger.read();
        const watch = await this.#ledger.watch((entry) => this.#receive(entry), { after: head });
        if (this.#closed.signal.aborted) watch.stop();
        else this.#following = watch;
        return;
      } catch (error) {
        const line = 'the changes of subscriptions cannot be followed; trying on';
        if (failures === 0) this.#log.warn({ err: error }, line);
        await sleep(retryMs, undefined, { signal: this.#closed.signal }).catch(() => {});
      }
    }
  }

  close(): void {
    this.#closed.abort();
    this.#following?.stop();
    this.#following = undefined;
  }

  /** Calls `on` for every change from now on. @throws PushfleetError `unavailable` while the log is not followed */
  watch(kinds: readonly SubscriptionKind[], on: (change: SubscriptionChange) => void): { stop(): void } {
    if (!this.following) {
      throw new PushfleetError('unavailable', 'The registry does not follow the log yet.', {
        retryAfterMs: retryMs,
      });
    }
    const watcher = { kinds: new Set(kinds), on };
    this.#watchers.add(watcher);
    return { stop: () => this.#watchers.delete(watcher) };
  }

  #receive(entry: LedgerEntry): void {
    const name = parseRecordKey(entry.key);
    if (name === undefined || this.#watchers.size === 0) return;
    const record = readRecord(entry);
    const kind = record && kindOf(record);
    const deleted = entry.value === undefined;
    const change = { ...name, revision: BigInt(entry.revision), deleted };
    for (const { kinds, on } of this.#watchers) {
      // What has ended is told to all: its record is gone, and with it what it was.
      if (kind === undefined || kinds.size === 0 || kinds.has(kind)) on(change);
    }
  }
}
