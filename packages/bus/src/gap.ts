import {
  type Cursor,
  formatCursor,
  type Item,
  type Namespace,
  type Place,
  type Publication,
  type TopicFilter,
} from '@pushfleet/core';
import { mistrustMs } from './leaders.ts';
import type { Range } from './source.ts';

/**
 * How far the clocks of servers may be apart, and a place's time behind what it has passed, in milliseconds. Whoever
 * is so close to the edge of what has aged out is told of a gap rather than not.
 */
const toleranceMs = 10_000;

/** What a log says of one shard. */
export interface Shelf {
  /** The oldest sequence there is; where the shard is empty, the next there will be. */
  readonly firstSequence: number;
  /** What was stored up to this time may have aged out: Unix time in milliseconds. */
  readonly horizon: number;
}

/**
 * Whether a hole before the first stored sequence may hold what somebody is owed. What was deleted, or outlived the
 * time its publisher or a policy gave it, leaves such a hole too; only what aged out with the log is told.
 *
 * @param since nothing behind the reader's position was stored before this time
 */
export function mayHaveAged(since: number, { horizon }: Shelf): boolean {
  return since - toleranceMs <= horizon;
}

/** The beginning of a replay, as far as a log could make it out of a cursor. */
export interface Start {
  /** Undefined: from the oldest there is. */
  readonly cursor: Cursor | undefined;
  readonly place: Place;
  /** Where each shard reads on. */
  readonly positions: readonly number[];
  /** Whether every shard takes the cursor's positions at their word. */
  readonly trusted: boolean;
  /** The cursor names what this log does not have. */
  readonly lost: boolean;
  readonly shelves: readonly Shelf[];
  /** The log's own time: Unix milliseconds. */
  readonly now: number;
}

/**
 * What a replay reads, and the gap that it has to tell first: one for all shards.
 *
 * @param retentionMs how long the log keeps what the filters match, in milliseconds; Infinity: as long as anything
 */
export function opening(
  start: Start,
  generation: string,
  until: readonly number[],
  retentionMs: number,
): { readonly range: Range; readonly gap: (Item<Publication> & { kind: 'gap' }) | undefined } {
  const { cursor, positions, shelves, now } = start;
  const after = positions.map((position, shard) =>
    Math.max(position, Math.min((shelves[shard]?.firstSequence ?? 1) - 1, until[shard] ?? 0)),
  );
  const everywhere = (time: number) => shelves.map(() => time);
  if (cursor === undefined) return { range: { after, until, since: everywhere(now) }, gap: undefined };
  const time = timeBehindGap(start, until, now - retentionMs);
  if (time === undefined) {
    return { range: { after, until, since: everywhere(start.place.time) }, gap: undefined };
  }
  const to = formatCursor({ generation, positions: after, time, read: true });
  return { range: { after, until, since: everywhere(now) }, gap: { kind: 'gap', from: cursor, to } };
}

/** The time of the place behind the gap; undefined where nothing is missing. */
function timeBehindGap(start: Start, until: readonly number[], keptSince: number): number | undefined {
  const { place, positions, lost, shelves, now } = start;
  const aged = shelves.some((shelf, shard) => {
    const position = place.positions[shard] ?? 0;
    const hole = Math.min(shelf.firstSequence - 1, until[shard] ?? 0) > position;
    return hole && mayHaveAged(place.time, shelf);
  });
  // A reader that the log sends back behind its place has had what lies between.
  const behind = (shard: number) => Math.max(positions[shard] ?? 0, lost ? 0 : (place.positions[shard] ?? 0));
  const outlived = place.time < keptSince && until.some((end, shard) => end > behind(shard));
  // Whoever comes back right from there has heard of what went meanwhile.
  if (outlived) return Math.max(place.time, Math.min(now, keptSince + toleranceMs));
  return lost || aged ? place.time : undefined;
}

/** Where a replay begins, before any gap. Its time tells where it goes back, though nothing may lie in between. */
export function startCursor({ place, positions, trusted }: Start, generation: string): Cursor {
  const time = trusted ? place.time : Math.max(0, place.time - mistrustMs);
  return formatCursor({ generation, positions, time, read: true });
}

/** How long the log keeps what a filter matches, in milliseconds, where a policy keeps it for less than the rest. */
export type RetentionMs = (namespace: Namespace, filter: TopicFilter) => number | undefined;

/** The shortest of all filters; Infinity where none has one. */
export function shortestRetentionMs(
  retentionMs: RetentionMs | undefined,
  namespace: Namespace,
  filters: readonly TopicFilter[],
): number {
  let shortest = Number.POSITIVE_INFINITY;
  if (retentionMs === undefined) return shortest;
  for (const filter of filters) shortest = Math.min(shortest, retentionMs(namespace, filter) ?? shortest);
  return shortest;
}
