import { limits, type Publication } from '@pushfleet/core';
import { type Clock, systemClock } from './clock.ts';

/** Every bound of a hub; each holds for one namespace of one process. */
export interface HubOptions {
  /** Most feeds at once; one more is refused with `too_many_connections`. */
  readonly feeds: number;
  /** Most filters of one feed; one more is refused with `too_many_filters`. */
  readonly feedFilters: number;
  /** Most publications in the ring of recent ones. */
  readonly ringCount: number;
  /** Most bytes of publications in the ring; what edges encode from them is kept as long and comes on top. */
  readonly ringBytes: number;
  /** Publications after which a page of a replay ends: it holds these, and the rest of the log's own batch. */
  readonly pageCount: number;
  /** Bytes after which a page of a replay ends. */
  readonly pageBytes: number;
  /** Most reads of the log at once, and as many of retained publications. */
  readonly replays: number;
  /** How far apart in time the cursors of waiting resumes may lie to be served by one read, in milliseconds. */
  readonly replayMergeMs: number;
  /** How long a page is kept for others who need it, in milliseconds: as long as the herd after a restart takes to come. */
  readonly pageLingerMs: number;
  /** Most bytes of publications in the pages that are kept; the one kept longest goes first. */
  readonly keptBytes: number;
  /** How long a read that stopped at the end of a page is kept open for whoever goes on, in milliseconds. */
  readonly readerLingerMs: number;
  /** How long to wait before the log is asked again after it was out of reach, in milliseconds. */
  readonly retryMs: number;
  /** How long a filter is followed after its last feed left, in milliseconds. */
  readonly interestLingerMs: number;
  /**
   * How long a filter is still followed after one that covers it took over, in milliseconds: as long as the bus
   * may take to find what was lost before.
   */
  readonly replacedLingerMs: number;
  /** How long a namespace without feeds is kept, in milliseconds. */
  readonly idleMs: number;
  readonly clock: Clock;
  /** Told of what passes; called in the middle of the fan-out, so it must be quick and must not throw. */
  readonly observer?: HubObserver;
}

/** Who watches the hubs of a process, for traces and metrics. */
export interface HubObserver {
  /** A live publication was offered to this many feeds, at least one; they write it after this turn. */
  published?(publication: Publication, feeds: number): void;
  /** A feed was given a gap. */
  gap?(): void;
  /** A page was read from the log for one or more feeds, in this many milliseconds. */
  replayed?(read: { readonly count: number; readonly bytes: number; readonly ms: number }): void;
}

export const hubDefaults: HubOptions = {
  feeds: 100_000,
  feedFilters: limits.feedFilters,
  ringCount: 16_384,
  ringBytes: 16 * 1_048_576,
  pageCount: 512,
  pageBytes: 262_144,
  replays: 8,
  replayMergeMs: 60_000,
  pageLingerMs: 10_000,
  keptBytes: 32 * 1_048_576,
  readerLingerMs: 2_000,
  retryMs: 500,
  interestLingerMs: 5_000,
  replacedLingerMs: 60_000,
  idleMs: 30_000,
  clock: systemClock,
};
