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
   * Reads a shard in the log's order, from the place of the last batch that was settled, then live. The next batch
   * comes when `on` has resolved and the place is stored; when it rejects, the same publications come again after
   * a pause. Batches hold what has arrived meanwhile, bounded in count and bytes. Should two read the same shard
   * at once, each may be handed what the other was; no publication is left out. What was deleted or has outlived
   * its time does not come.
   */
  read(shard: number, on: (batch: readonly Tailed[]) => Promise<void>): Promise<{ stop(): Promise<void> }>;
  /** How many publications are stored that a shard's reading has not come to, over all shards. */
  behind(): Promise<number>;
}
