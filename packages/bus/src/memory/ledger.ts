import { PushfleetError } from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import type { Ledger, LedgerEntry } from '../ledger.ts';

/** A ledger that lives as long as its process. */
export class MemoryLedger implements Ledger {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { value: Uint8Array; revision: number; expiresAt: number }>();
  readonly #watchers = new Set<(entry: LedgerEntry) => void>();
  #revision = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async get(key: string): Promise<{ value: Uint8Array; revision: number } | undefined> {
    const entry = this.#entries.get(key);
    return entry === undefined || entry.expiresAt <= this.#clock.now() ? undefined : entry;
  }

  async put(
    key: string,
    value: Uint8Array,
    options: { ifRevision?: number; ttlMs?: number } = {},
  ): Promise<number> {
    await this.#compare(key, options.ifRevision);
    const expiresAt =
      options.ttlMs === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() + options.ttlMs;
    const entry = { value, revision: ++this.#revision, expiresAt };
    this.#entries.set(key, entry);
    this.#tell({ key, value, revision: entry.revision });
    return entry.revision;
  }

  async delete(key: string, options: { ifRevision?: number } = {}): Promise<void> {
    await this.#compare(key, options.ifRevision);
    this.#entries.delete(key);
    this.#tell({ key, value: undefined, revision: ++this.#revision });
  }

  async watch(
    on: (entry: LedgerEntry) => void,
    options: { prefix?: string } = {},
  ): Promise<{ stop(): void }> {
    const watcher = (entry: LedgerEntry) => {
      if (entry.key.startsWith(options.prefix ?? '')) on(entry);
    };
    for (const [key, entry] of this.#entries) watcher({ key, value: entry.value, revision: entry.revision });
    this.#watchers.add(watcher);
    return { stop: () => this.#watchers.delete(watcher) };
  }

  async #compare(key: string, wanted: number | undefined): Promise<void> {
    const held = (await this.get(key))?.revision ?? 0;
    if (wanted === undefined || wanted === held) return;
    throw new PushfleetError(
      'conflict',
      `The entry ${key} is at revision ${held}, not ${wanted}; read it again.`,
    );
  }

  #tell(entry: LedgerEntry): void {
    for (const watcher of this.#watchers) watcher(entry);
  }
}
