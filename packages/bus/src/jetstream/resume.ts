import { setTimeout as sleep } from 'node:timers/promises';
import { type Cursor, type Place, parseCursor } from '@pushfleet/core';
import type { Start } from '../gap.ts';
import { isTrusted, mistrustMs } from '../leaders.ts';
import { leaderMessage, type StreamView } from './api.ts';
import type { Broker } from './broker.ts';
import { patiently } from './retry.ts';

/** Latest time that the broker understands: it counts nanoseconds in 64 bits, and takes a later one for one long past. */
const latestTime = 9_223_372_036_854;

/**
 * For how long a place beyond the end of a replicated log is doubted rather than called lost, in milliseconds: until a
 * leader that stood still or was cut off has heard of the next.
 */
const doubtMs = 12_000;
/** The broker hears of all ends that often anyway. */
const pauseMs = 1_000;

/**
 * Where to read on from. A shard without a position, beyond the head, or of another generation resumes by the
 * cursor's time.
 *
 * @throws PushfleetError `cursor_invalid`, `unavailable`
 */
export async function startOf(
  broker: Broker,
  cursor: Cursor | undefined,
  wait = { doubtMs, pauseMs },
): Promise<Start> {
  const { generation } = broker.layout;
  const place = cursor === undefined ? { generation, positions: [], time: 0 } : parseCursor(cursor);
  const foreign = place.generation !== generation;
  const views = foreign ? await broker.views() : await viewsUpTo(broker, place, wait);
  const beyond = views.some(({ lastSequence }, shard) => (place.positions[shard] ?? 0) > lastSequence);
  const whole = broker.leaders.trusts(place);
  const positions = await Promise.all(
    views.map((view, shard) =>
      positionIn(broker, shard, view, foreign ? undefined : place.positions[shard], place, whole),
    ),
  );
  const now = Math.min(...views.map(({ answeredAt }) => answeredAt));
  const trusted = whole || views.every(({ leader }) => isTrusted(place, leader.since));
  return { cursor, place, positions, trusted, lost: foreign || beyond, shelves: views, now };
}

/** What the leaders say now; a leader that lacks what the place names is asked again, as it may lead no more. */
async function viewsUpTo(
  broker: Broker,
  { positions }: Place,
  wait: { readonly doubtMs: number; readonly pauseMs: number },
): Promise<readonly StreamView[]> {
  const end = Date.now() + wait.doubtMs;
  for (;;) {
    const views = await broker.views();
    const lacks = (last: (shard: number) => number) =>
      views.some(({ replicas }, shard) => replicas > 1 && (positions[shard] ?? 0) > last(shard));
    if (!lacks((shard) => views[shard]?.lastSequence ?? 0)) return views;
    do {
      if (Date.now() >= end || broker.closing.aborted) return views;
      await sleep(wait.pauseMs, undefined, { ref: false });
    } while (lacks((shard) => broker.lastKnown(shard)));
  }
}

/** How far to read for a cursor: to its positions, to the head where it has none in this log. */
export async function endOf(broker: Broker, cursor: Cursor): Promise<readonly number[]> {
  const place: Place = parseCursor(cursor);
  const own = place.generation === broker.layout.generation;
  const known = own && broker.layout.views.every((_, shard) => place.positions[shard] !== undefined);
  if (known) return place.positions as readonly number[];
  const { sequences } = await broker.heads();
  return sequences.map((head, shard) => (own ? place.positions[shard] : undefined) ?? head);
}

async function positionIn(
  broker: Broker,
  shard: number,
  view: StreamView,
  position: number | undefined,
  place: Place,
  whole: boolean,
): Promise<number> {
  const { time } = place;
  if (position === undefined || position > view.lastSequence) return positionAt(broker, shard, view, time);
  if (position === 0 || whole || isTrusted(place, view.leader.since)) return position;
  return Math.min(position, await positionAt(broker, shard, view, time - mistrustMs));
}

/** The position before the first publication of that time or a later one. */
export async function positionAt(
  broker: Broker,
  shard: number,
  view: StreamView,
  time: number,
): Promise<number> {
  if (time <= 0) return 0;
  if (time > latestTime) return view.lastSequence;
  const question = { start_time: new Date(time).toISOString() };
  const found = await patiently(() => leaderMessage(broker.bulk, broker.stream(shard), question));
  return found === undefined ? view.lastSequence : found.sequence - 1;
}
