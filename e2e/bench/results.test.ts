import assert from 'node:assert/strict';
import test from 'node:test';
import { bars } from './bars.ts';
import { type Publish, plan, type Scenario } from './plan.ts';
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

const planned = <K extends Scenario['kind']>(kind: K) =>
  plan(true).find((scenario) => scenario.kind === kind) as Extract<Scenario, { kind: K }>;
const words = (table: Table) => bars([table]).map((line) => line.split(' ')[0]);

test('a spread is the median between the smallest and the largest', () => {
  assert.deepEqual(spread([5, 1, 3]), { median: 3, min: 1, max: 5 });
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test('ratios are taken repetition by repetition', () => {
  assert.deepEqual(ratios(fleet, peer, perFrontSecond), [2, 3, 2]);
});

test('one message a write has to equal the peer, saturated three times it; at 1,000 a second p99 counts', () => {
  assert.deepEqual(
    bars(flowTables.filter(({ scenario }) => !scenario.name.startsWith('ws'))).map(
      (line) => line.split(' ')[0],
    ),
    ['met:', 'MISSED:', 'met:'],
  );
});

test('WebSockets have to come within a twentieth of the peer, and saturated be three times it and ahead of all', () => {
  const verdicts = (perSecond: number, name: string, ...others: Row<ReturnType<typeof flow>>[]) => {
    const table = flowTables.find(({ scenario }) => scenario.name === name) as Table & { kind: 'flow' };
    const rows = [row('pushfleet', flow(perSecond, 1)), row('nchan', flow(100, 1)), ...others];
    return words({ ...table, rows });
  };
  assert.deepEqual(
    [95, 94].flatMap((rate) => verdicts(rate, 'wsFanout')),
    ['met:', 'MISSED:'],
  );
  assert.deepEqual(verdicts(301, 'wsSaturated', row('socket.io', flow(300, 1))), ['met:', 'met:']);
  assert.deepEqual(verdicts(301, 'wsSaturated', row('socket.io', flow(301, 1))), ['met:', 'MISSED:']);
});

test('clients that stop reading may cost the others less than a tenth, by the medians', () => {
  const latencies = (stalls: boolean, ...p99: number[]) => ({
    ...row('pushfleet', ...p99.map((each) => ({ p50: 1, p99: each }))),
    stalls,
  });
  const table = (...p99: number[]): Table => ({
    ...{ kind: 'stalled', scenario: planned('stalled') },
    rows: [latencies(false, 10, 10, 90), latencies(true, ...p99)],
  });
  assert.deepEqual([...words(table(10.9, 1, 30)), ...words(table(11, 1, 30))], ['met:', 'MISSED:']);
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

test('a delivery to a webhook has a bar of its own, for the fleet alone', () => {
  const result = { ...flow(10_000, 1), halfRate: 1 };
  const table = (perSecond: number): Table => ({
    ...{ kind: 'hooks', scenario: planned('hooks') },
    rows: [row('pushfleet', { ...result, deliveries: perSecond }), row('bare pipe', result)],
  });
  assert.deepEqual(
    [4_999, 5_000].flatMap((rate) => words(table(rate))),
    ['MISSED:', 'met:'],
  );
  assert.deepEqual(words({ ...table(1), rows: [] } as Table), []);
});

test('endpoints that hang may cost the others a tenth, by the medians', () => {
  const latencies = (target: string, ...p99: number[]) =>
    row(target, ...p99.map((each) => ({ p50: 1, p99: each })));
  const table = (...p99: number[]): Table => ({
    ...{ kind: 'hanging', scenario: planned('hanging') },
    rows: [latencies('answers', 10, 10, 90), latencies('hangs', ...p99)],
  });
  assert.deepEqual([...words(table(11, 1, 30)), ...words(table(11.1, 1, 30))], ['met:', 'MISSED:']);
});

test('nats-server keeps a million appointments in less than a gigabyte, also after a restart', () => {
  const result = { storedPerSecond: 1, brokerMicroseconds: 1, diskBytes: 1, restartSeconds: 1, lastLate: 1 };
  const table = (residentBytes: number, restartedBytes: number): Table => ({
    ...{ kind: 'appointments', scenario: planned('appointments') },
    rows: [row('nats-server', { ...result, residentBytes, restartedBytes, firstLate: 1 })],
  });
  assert.deepEqual([...words(table(9e8, 1e9)), ...words(table(9e8, 1.1e9))], ['met:', 'MISSED:']);
});

test('a delivery to a session that lasts may cost twice as much as to one that does not, pair by pair', () => {
  const cost = (edge: number, registry: number) => ({
    ...flow(1_000_000, 1),
    ...{ behindCpu: 1, cpu: { edge, registry, Redis: 0, NATS: 0 } },
  });
  const table = (...registry: number[]): Table => ({
    ...{ kind: 'mqttLasting', scenario: planned('mqttLasting') },
    rows: [row('that end', cost(10, 0)), row('that last', ...registry.map((each) => cost(10, each)))],
  });
  assert.deepEqual(
    [9.9, 10, 10.1].flatMap((registry) => words(table(registry))),
    ['met:', 'met:', 'MISSED:'],
  );
});
