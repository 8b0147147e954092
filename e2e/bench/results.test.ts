import assert from 'node:assert/strict';
import test from 'node:test';
import { bars } from './bars.ts';
import { plan } from './plan.ts';
import { type Row, ratios, spread, type Table } from './results.ts';

const flow = (deliveries: number, frontCpu: number) => ({
  ...{ deliveries, frontCpu, pathCpu: 2 * frontCpu, seconds: 1 },
  ...{ p50: 1, p99: 2, perRead: 1 },
});
const row = (target: string, ...flows: Row['flows']): Row => ({ target, flows, idles: [] });
const fleet = row('pushfleet', flow(100, 1), flow(300, 1), flow(400, 2));
const peer = row('nchan', flow(100, 2), flow(100, 1), flow(100, 1));

test('a spread is the median between the smallest and the largest', () => {
  assert.deepEqual(spread([5, 1, 3]), { median: 3, min: 1, max: 5 });
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test('ratios are taken repetition by repetition', () => {
  assert.deepEqual(ratios(fleet, peer), [2, 3, 2]);
});

test('one message a write has to equal the peer, saturated three times it; topics have no bar', () => {
  const tables = plan(true).filter(({ kind }) => kind === 'flow');
  const lines = bars(tables.map((scenario): Table => ({ scenario, rows: [fleet, peer] })));
  assert.deepEqual(
    lines.map((line) => line.split(':')[0]),
    ['met', 'MISSED'],
  );
});
