import { PushfleetError } from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import type { Ledger, LedgerEntry, LedgerReading } from '../ledger.ts';

/** `value` is undefined once it was deleted or has expired. */
interface Held {
  readonly value: Uint8Array | undefined;
  readonly revision: number;
  readonly expiresAt: number;
}

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
    const { ttlMs } = options;
    const revision = this.#write(
      key,
      value,
      ttlMs === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() + ttlMs,
    );
    if (ttlMs !== undefined) {
      this.#clock.after(ttlMs, () => {
        if (this.#entries.get(key)?.revision === revision)
          this.#write(key, undefined, Number.POSITIVE_INFINITY);
      });
    }
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

  #write(key: string, value: Uint8Array | undefined, expiresAt: number): number {
    const revision = ++this.#revision;
    this.#entries.delete(key);
    this.#entries.set(key, { value, revision, expiresAt });
    for (const watcher of this.#watchers) watcher({ key, value, revision });
    return revision;
  }
}

const gone: Held = { value: undefined, revision: 0, expiresAt: Number.POSITIVE_INFINITY };
