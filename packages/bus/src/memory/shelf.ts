import type { Clock } from '../clock.ts';
import type { Shelf, ShelfDraft, ShelfEntry } from '../shelf.ts';
import { checkDraft, checkShelfKey } from '../shelf-rules.ts';
import type { MemoryLog } from './log.ts';
import type { MemorySource } from './source.ts';

/** How long an id is remembered, in milliseconds, as the log's streams do unless told otherwise. */
const duplicateWindowMs = 120_000;

interface Lying extends ShelfEntry {
  readonly endsAt: number;
}

/** What the broker would hold of a shelf; each process reaches it through a `MemoryShelf` of its own. */
export class ShelfStore {
  readonly #log: MemoryLog;
  readonly #clock: Clock;
  /** In the order of their sequences. */
  readonly #entries = new Map<number, Lying>();
  readonly #byKey = new Map<string, Set<Lying>>();
  readonly #ids = new Map<string, { readonly sequence: number; readonly until: number }>();
  #sequence = 0;

  constructor(log: MemoryLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  append({ key, id, body, ttlMs }: ShelfDraft): number {
    if (this.#log.refusal !== undefined) throw this.#log.refusal;
    const now = this.#clock.now();
    const known = id === undefined ? undefined : this.#ids.get(id);
    if (known !== undefined && known.until > now) return known.sequence;
    const sequence = ++this.#sequence;
    if (id !== undefined) this.#ids.set(id, { sequence, until: now + duplicateWindowMs });
    const endsAt = ttlMs === undefined ? Number.POSITIVE_INFINITY : now + ttlMs;
    const entry = { key, sequence, time: now, body, endsAt };
    this.#entries.set(sequence, entry);
    this.#byKey.set(key, (this.#byKey.get(key) ?? new Set()).add(entry));
    return sequence;
  }

  get(sequence: number): ShelfEntry | undefined {
    const entry = this.#entries.get(sequence);
    return entry === undefined || this.#isOver(entry) ? undefined : entry;
  }

  remove(sequence: number): void {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return;
    this.#entries.delete(sequence);
    const lying = this.#byKey.get(entry.key);
    lying?.delete(entry);
    if (lying?.size === 0) this.#byKey.delete(entry.key);
  }

  /** What lies under exactly this key, oldest first. */
  under(key: string): readonly Lying[] {
    for (const entry of this.#byKey.get(key) ?? []) if (this.#isOver(entry)) this.remove(entry.sequence);
    return [...(this.#byKey.get(key) ?? [])];
  }

  /** The key and those below it, as far as something lies there. */
  keysFrom(key: string): readonly string[] {
    const below = (one: string) => key === '#' || one === key || one.startsWith(`${key}/`);
    return [...this.#byKey.keys()].filter((one) => below(one) && this.under(one).length > 0);
  }

  #isOver({ endsAt }: Lying): boolean {
    return endsAt <= this.#clock.now();
  }
}

/** A shelf as one process reaches it, through a connection that can be cut. */
export class MemoryShelf implements Shelf {
  readonly #store: ShelfStore;
  readonly #source: MemorySource;

  constructor(store: ShelfStore, source: MemorySource) {
    this.#store = store;
    this.#source = source;
  }

  append(drafts: readonly ShelfDraft[]): Promise<readonly number[]> {
    return this.#ask((store) => {
      for (const draft of drafts) checkDraft(draft);
      return drafts.map((draft) => store.append(draft));
    });
  }

  get(sequence: number): Promise<ShelfEntry | undefined> {
    return this.#ask((store) => store.get(sequence));
  }

  read(key: string, after: number, limit: number): Promise<readonly ShelfEntry[]> {
    return this.#ask((store) =>
      store
        .under(checkShelfKey(key))
        .filter(({ sequence }) => sequence > after)
        .slice(0, limit),
    );
  }

  newest(key: string, before: number | undefined, limit: number): Promise<readonly ShelfEntry[]> {
    return this.#ask((store) =>
      store
        .under(checkShelfKey(key))
        .filter(({ sequence }) => sequence < (before ?? Number.POSITIVE_INFINITY))
        .toReversed()
        .slice(0, limit),
    );
  }

  remove(sequences: readonly number[]): Promise<void> {
    return this.#ask((store) => {
      for (const sequence of sequences) store.remove(sequence);
    });
  }

  clear(key: string, options: { exactly?: boolean; until?: number } = {}): Promise<number> {
    const { exactly = false, until = Number.POSITIVE_INFINITY } = options;
    return this.#ask((store) => {
      const keys = exactly ? [key] : store.keysFrom(checkShelfKey(key));
      const gone = keys.flatMap((one) => store.under(one)).filter(({ sequence }) => sequence <= until);
      for (const { sequence } of gone) store.remove(sequence);
      return gone.length;
    });
  }

  keys(key: string): Promise<ReadonlyMap<string, number>> {
    return this.#ask(
      (store) => new Map(store.keysFrom(checkShelfKey(key)).map((one) => [one, store.under(one).length])),
    );
  }

  /** What is done may be unknown to who asked for it: the connection can be lost before the answer. */
  async #ask<T>(act: (store: ShelfStore) => T): Promise<T> {
    const answer = this.#source.turn();
    try {
      return this.#source.reachable ? act(this.#store) : (undefined as T);
    } finally {
      await answer;
    }
  }
}
