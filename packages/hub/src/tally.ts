import type { TopicFilter } from '@pushfleet/core';

/** A filter that matched a publication when it was handed over, and how many feeds held it then. */
export interface MatchedFilter {
  readonly filter: TopicFilter;
  readonly feeds: number;
}

/**
 * What became of a live publication in this hub. One for each publication, however many feeds are given it, and
 * changed in place: it is counted up at every delivery.
 */
export class Tally {
  filters: readonly MatchedFilter[] = none;
  /** Feeds it was offered to. */
  matched = 0;
  /** Feeds that took it. */
  delivered = 0;
  /** Feeds that let go of it: they ended, kept a newer one, or read it from the log later. */
  dropped = 0;
}

const none: readonly MatchedFilter[] = [];

/** What a hub remembers of one publication. */
export interface Explanation {
  /** Whether it is among the recent ones; where not, the numbers are 0 and say nothing. */
  readonly remembered: boolean;
  readonly filters: readonly MatchedFilter[];
  readonly matched: number;
  readonly delivered: number;
  /** Feeds that hold it back for a client that is reading. */
  readonly pending: number;
  readonly dropped: number;
}

export function explain(tally: Tally | undefined): Explanation {
  const { filters, matched, delivered, dropped } = tally ?? new Tally();
  // Who comes back soon takes it from the ring without having been offered it.
  const pending = Math.max(0, matched - delivered - dropped);
  return { remembered: tally !== undefined, filters, matched, delivered, pending, dropped };
}
