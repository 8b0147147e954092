import type { Cursor, Namespace, Publication } from '@pushfleet/core';

/** A publication of any namespace, as whoever reads the whole log sees it. */
export interface Tailed {
  readonly namespace: Namespace;
  readonly publication: Publication;
  /** The place right behind it: its own shard's position and its time. */
  readonly cursor: Cursor;
}

/**
 * One reading of the whole log, all namespaces, that is continued where it was left, whoever continues it. A tail
 * that nobody has read yet begins with the oldest publication there is.
 */
export interface Tail {
  /** How many shards there are to read. */
  readonly shards: number;
  /**
   * Reads a shard in the log's order, from the place that is stored, then live. The next batch comes when `on` has
   * resolved; when it rejects, the same publications come again after a pause. The place behind what was settled is
   * stored within 50 ms, and when reading stops: after a crash what was settled since comes again. Batches hold what
   * has arrived meanwhile, at most 256 publications. Should two read the same shard at once, each may be handed what
   * the other was; no publication is left out. What was deleted or has outlived its time does not come.
   */
  read(shard: number, on: (batch: readonly Tailed[]) => Promise<void>): Promise<{ stop(): Promise<void> }>;
  /**
   * How many publications are stored behind the places, over all shards. Exact where nothing is left; else those that
   * were deleted between the places and the heads may be counted.
   */
  behind(): Promise<number>;
}
