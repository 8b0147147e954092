import type { Place } from '@pushfleet/core';
import type { Fanout } from './fanout.ts';
import type { Forgotten } from './forgotten.ts';
import type { Interests } from './interest.ts';
import type { Mark } from './mark.ts';
import type { HubOptions } from './options.ts';
import type { Replays } from './replays.ts';
import type { RetainedReads } from './retained.ts';
import type { Ring } from './ring.ts';
import type { Ticking, Ticks } from './ticks.ts';

/** What a feed and its splices use of their hub. */
export interface Host<F> {
  readonly options: HubOptions;
  readonly ring: Ring;
  readonly interests: Interests;
  readonly replays: Replays;
  readonly retained: RetainedReads;
  readonly fanout: Fanout;
  readonly ticks: Ticks;
  readonly forgotten: Forgotten;
  /** Feeds with a splice: what comes late is offered to them as well. */
  readonly splicing: Set<F>;
  /** The place behind everything owed that was handed over. */
  mark(): Mark;
  /** The furthest place of what was handed over. */
  handed(): Mark;
  /** The furthest place known in every shard: nothing at or before it is handed over from now on, but what was late. */
  settled(): Mark;
  /**
   * Says that a reader is at these positions of the log already, which may be beyond what was handed over. The time is
   * the reader's own affair: nobody vouches for it.
   */
  raise(place: Place): void;
  /** Whether something that the reader of this place is owed may lie behind it: it is asked of the log. */
  isDoubtful(place: Mark): boolean;
  /** The newest place of the log. */
  head(): Promise<Mark>;
  /** Ticks the feed again when the log may be back. */
  retry(feed: Ticking): void;
  left(feed: F): void;
}
