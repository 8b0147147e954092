import assert from 'node:assert/strict';
import test from 'node:test';
import { bars } from './bars.ts';
import { type Publish, plan } from './plan.ts';
import { perFrontSecond, type Row, ratios, spread, type Table } from './results.ts';

const flow = (deliveries: number, frontCpu: number, p99 = 2) => ({
  ...{ deliveries, frontCpu, pathCpu: 2 * frontCpu, seconds: 1 },
  ...{ p50: 1, p99, perRead: 1, clientCpu: 0.5 },
});
const row = <R>(target: string, ...results: R[]): Row<R> => ({ target, results });
const fleet = row('pushfleet', flow(100, 1), flow(300, 1), flow(400, 2));
const peer = row('nchan', flow(100, 2), flow(100, 1), flow(100, 1));
const flowTables = plan(true).flatMap((scenario): Table[] =>
  scenario.kind === 'flow' ? [{ kind: 'flow', scenario, rows: [fleet, peer] }] : [],
);

test('a spread is the median between the smallest and the largest', () => {
  assert.deepEqual(spread([5, 1, 3]), { median: 3, min: 1, max: 5 });
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test('ratios are taken repetition by repetition', () => {
  assert.deepEqual(ratios(fleet, peer, perFrontSecond), [2, 3, 2]);
});

test('one message a write has to equal the peer, saturated three times it; at 1,000 a second p99 counts', () => {
  assert.deepEqual(
    bars(flowTables).map((line) => line.split(' ')[0]),
    ['met:', 'MISSED:', 'met:'],
  );
});

test('ways to publish have bars of their own, for one publisher alone', () => {
  const scenario = plan(true).find(({ kind }) => kind === 'publish') as Publish;
  const result = { acknowledged: 15_000, seconds: 1, frontCpu: 1, pathCpu: 1, generatorCpu: 1 };
  const ways = ['gRPC PublishStream', 'gRPC PublishBatch of 200', 'HTTP, one each'];
  const rows = ways.flatMap((way) =>
    [1, 4].map((publishers) => ({ target: 'pushfleet', way, publishers, results: [result] })),
  );
  assert.deepEqual(
    bars([{ kind: 'publish', scenario, rows }]).map((line) => line.split(' ')[0]),
    ['met:', 'MISSED:'],
  );
});
