/** What is laid on a shelf. */
export interface ShelfDraft {
  /** Levels separated by `/`. */
  readonly key: string;
  /** An entry whose id was appended within the broker's duplicate window is not stored again. 1 to 64 letters, digits, `_` or `-`. */
  readonly id?: string;
  readonly body: Uint8Array;
  /** How long it stays, in milliseconds; whole seconds, at least one. Absent: until it is removed. */
  readonly ttlMs?: number;
}

/** What lies on a shelf. */
export interface ShelfEntry {
  readonly key: string;
  /** Its place: rises with every entry of the shelf. */
  readonly sequence: number;
  /** When it was stored, Unix time in milliseconds. */
  readonly time: number;
  readonly body: Uint8Array;
}

/** Entries that lie under their keys in the order in which they came, until they are removed or their time is over. */
export interface Shelf {
  /**
   * Settles once all are stored, in this order; gives their places, and for one that was there already the place
   * it has.
   *
   * @throws PushfleetError `unavailable`, `storage_full`; then some may be stored: append all of them again
   */
  append(entries: readonly ShelfDraft[]): Promise<readonly number[]>;
  /** The entry at this place, if it is still there. */
  get(sequence: number): Promise<ShelfEntry | undefined>;
  /** Entries of exactly this key behind the place `after` (0: from the beginning), oldest first. */
  read(key: string, after: number, limit: number): Promise<readonly ShelfEntry[]>;
  /** Entries of exactly this key before the place `before` (absent: from the end), newest first. */
  newest(key: string, before: number | undefined, limit: number): Promise<readonly ShelfEntry[]>;
  /** Those that are not there any more are passed over. */
  remove(sequences: readonly number[]): Promise<void>;
  /**
   * Removes every entry whose key is `key` or lies below it, and says how many there were; `#` alone stands for all
   * keys. With `exactly` those below stay, with `until` those behind that place.
   */
  clear(key: string, options?: { exactly?: boolean; until?: number }): Promise<number>;
  /** The keys that are `key` or lie below it, with how many entries each has; `#` alone as in `clear`. */
  keys(key: string): Promise<ReadonlyMap<string, number>>;
}
