import { PushfleetError } from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import type { Ledger, LedgerEntry, LedgerReading } from '../ledger.ts';

/** `value` is undefined once it was deleted or has expired. */
interface Held {
  readonly value: Uint8Array | undefined;
  readonly revision: number;
  readonly expiresAt: number;
}

/** A timer for longer than 2^31 ms would fire at once. */
const longestTimerMs = 86_400_000;

/** A ledger that lives as long as its process. */
export class MemoryLedger implements Ledger {
  readonly #clock: Clock;
  /** In the order of their revisions. */
  readonly #entries = new Map<string, Held>();
  readonly #watchers = new Set<(entry: LedgerEntry) => void>();
  #revision = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async get(key: string): Promise<{ value: Uint8Array; revision: number } | undefined> {
    return this.#live(key);
  }

  async put(
    key: string,
    value: Uint8Array,
    options: { ifRevision?: number; ttlMs?: number } = {},
  ): Promise<number> {
    this.#compare(key, options.ifRevision);
    const { ttlMs = Number.POSITIVE_INFINITY } = options;
    const expiresAt = this.#clock.now() + ttlMs;
    const revision = this.#write(key, value, expiresAt);
    if (options.ttlMs !== undefined) this.#endLater(key, revision, expiresAt);
    return revision;
  }

  async delete(key: string, options: { ifRevision?: number } = {}): Promise<void> {
    this.#compare(key, options.ifRevision);
    this.#write(key, undefined, Number.POSITIVE_INFINITY);
  }

  async read(options: { after?: number } = {}): Promise<LedgerReading> {
    const page = this.#after(options.after ?? 0);
    const pages = (async function* () {
      if (page.length > 0) yield page;
    })();
    return { head: this.#revision, pages };
  }

  async watch(
    on: (entry: LedgerEntry) => void,
    options: { prefix?: string; after?: number } = {},
  ): Promise<{ stop(): void }> {
    const watcher = (entry: LedgerEntry) => {
      if (entry.key.startsWith(options.prefix ?? '')) on(entry);
    };
    for (const entry of this.#after(options.after ?? 0)) watcher(entry);
    this.#watchers.add(watcher);
    return { stop: () => this.#watchers.delete(watcher) };
  }

  #after(after: number): LedgerEntry[] {
    const entries = [...this.#entries].map(([key, { value, revision }]) => ({ key, value, revision }));
    return entries.filter(({ value, revision }) => revision > after && (after > 0 || value !== undefined));
  }

  #live(key: string): { value: Uint8Array; revision: number } | undefined {
    const { value, revision, expiresAt } = this.#entries.get(key) ?? gone;
    return value === undefined || expiresAt <= this.#clock.now() ? undefined : { value, revision };
  }

  #compare(key: string, wanted: number | undefined): void {
    const held = this.#live(key)?.revision ?? 0;
    if (wanted === undefined || wanted === held) return;
    throw new PushfleetError(
      'conflict',
      `The entry ${key} is at revision ${held}, not ${wanted}; read it again.`,
    );
  }

  #endLater(key: string, revision: number, expiresAt: number): void {
    const wait = Math.min(Math.max(expiresAt - this.#clock.now(), 1), longestTimerMs);
    this.#clock.after(wait, () => {
      if (this.#entries.get(key)?.revision !== revision) return;
      if (expiresAt > this.#clock.now()) this.#endLater(key, revision, expiresAt);
      else this.#write(key, undefined, Number.POSITIVE_INFINITY);
    });
  }

  #write(key: string, value: Uint8Array | undefined, expiresAt: number): number {
    const revision = ++this.#revision;
    this.#entries.delete(key);
    this.#entries.set(key, { value, revision, expiresAt });
    for (const watcher of this.#watchers) watcher({ key, value, revision });
    return revision;
  }
}

const gone: Held = { value: undefined, revision: 0, expiresAt: Number.POSITIVE_INFINITY };
