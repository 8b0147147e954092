import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatCursor } from '@pushfleet/core';
import type { StreamView } from './api.ts';
import type { Broker } from './broker.ts';
import { startOf } from './resume.ts';

const generation = 'g1';
const cursor = formatCursor({ generation, positions: [5, 7], time: 0, read: true });
const wait = { doubtMs: 60, pauseMs: 20 };

/** Leaders that say, each time they are asked, the next of these ends of the log; after them the last. */
function saying(replicas: number, ...ends: readonly (readonly number[])[]) {
  let asked = 0;
  const viewOf = (lastSequence: number) =>
    ({ firstSequence: 1, lastSequence, replicas, answeredAt: 1, horizon: 0, leader: {} }) as StreamView;
  const broker = {
    layout: { generation },
    leaders: { trusts: () => true },
    closing: new AbortController().signal,
    views: async () => (ends[Math.min(asked++, ends.length - 1)] ?? []).map(viewOf),
    lastKnown: (shard: number) => ends.at(-1)?.[shard] ?? 0,
  } as unknown as Broker;
  return { broker, asked: () => asked };
}

describe('a place beyond the end that a leader tells', () => {
  it('is not lost where the next leader has it', async () => {
    const { broker, asked } = saying(3, [5, 6], [4, 7], [5, 7]);
    const start = await startOf(broker, cursor, wait);
    assert.deepEqual([start.lost, start.positions, asked()], [false, [5, 7], 3]);
  });

  it('is lost where no leader has it in time, and they are not asked again meanwhile', async () => {
    const { broker, asked } = saying(3, [5, 6]);
    const start = await startOf(broker, cursor, wait);
    assert.deepEqual([start.lost, start.positions, asked()], [true, [5, 0], 1]);
  });

  it('is lost at once where there is one replica, or another generation', async () => {
    const endless = { doubtMs: 1e9, pauseMs: 1e9 };
    assert.equal((await startOf(saying(1, [5, 6]).broker, cursor, endless)).lost, true);
    const foreign = formatCursor({ generation: 'g0', positions: [5, 7], time: 0 });
    assert.equal((await startOf(saying(3, [5, 6]).broker, foreign, endless)).lost, true);
  });

  it('is lost where the log is closed meanwhile', async () => {
    const { broker } = saying(3, [5, 6]);
    const closed = Object.assign(broker, { closing: AbortSignal.abort() });
    assert.equal((await startOf(closed, cursor, { doubtMs: 1e9, pauseMs: 1e9 })).lost, true);
  });
});
