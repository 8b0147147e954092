/** A change of one key; `value` is undefined where the key was deleted or expired. */
export interface LedgerEntry {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  readonly revision: number;
}

/** What a ledger held at one moment. */
export interface LedgerReading {
  /** The revision of the newest change at that moment. */
  readonly head: number;
  /**
   * In the order of their revisions, each page read when it is asked for. What changes meanwhile has moved behind the
   * head and is not among them.
   */
  readonly pages: AsyncIterable<readonly LedgerEntry[]>;
}

/** A compacted stream: the last value of every key, changed by compare-and-set; the registry's truth. */
export interface Ledger {
  get(key: string): Promise<{ readonly value: Uint8Array; readonly revision: number } | undefined>;
  /**
   * Stores a value and returns its revision, which rises with every change and so serves as a fencing token.
   *
   * @param options.ifRevision the revision the key must have; 0 where it must not exist
   * @param options.ttlMs how long the entry lives, in milliseconds; whole seconds, at least one
   * @throws PushfleetError `conflict` where the key is at another revision
   */
  put(key: string, value: Uint8Array, options?: { ifRevision?: number; ttlMs?: number }): Promise<number>;
  delete(key: string, options?: { ifRevision?: number }): Promise<void>;
  /**
   * Reads what there is, or what was changed behind the revision `after`: then with the ends that are still known,
   * those of a day, and of expiries those of an hour.
   */
  read(options?: { after?: number }): Promise<LedgerReading>;
  /**
   * Hands over every entry there is, then every change; resolves once the first part is done. With `after` it hands
   * over every change behind that revision, and resolves before them.
   */
  watch(
    on: (entry: LedgerEntry) => void,
    options?: { prefix?: string; after?: number },
  ): Promise<{ stop(): void }>;
}
