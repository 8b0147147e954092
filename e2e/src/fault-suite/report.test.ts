import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '@pushfleet/contract/simulation';
import { cases } from './cases.ts';
import type { Measured } from './measure.ts';
import { commandOf, inOrder, nameOf, readOptions } from './options.ts';
import { isKept, type Row, table } from './report.ts';

const fault = { where: 'edge–NATS', what: 'reset' };
const calm: Measured = {
  ...{ lastedMs: 4_120, recoveryMs: 380, acknowledged: 1_200, deliveries: 12_000, lost: 0, duplicated: 0 },
  ...{ cuts: new Map(), failures: 0, breaks: 0, refusals: new Map(), waitMs: 300, gaps: 0, broken: [] },
};
const last = (row: Row): string => table([row]).split('\n').at(-1) as string;

test('a fault that nobody noticed', () => {
  const row = { fault, result: calm };
  assert.equal(last(row), '| edge–NATS | reset | 4.1 s | nothing | 0 of 1,200 | 0 of 12,000 | 0.4 s |');
  assert.equal(isKept(row), true);
});

test('what clients and publishers saw', () => {
  const cuts = new Map(Object.entries({ SSE: 1, eventsource: 10 }));
  const result = {
    ...calm,
    cuts,
    failures: 3,
    breaks: 2,
    refusals: new Map([['unavailable', 4]]),
    waitMs: 1_500,
  };
  assert.match(
    last({ fault, result }),
    /SSE cut once, eventsource cut 10 times, 3 attempts to connect failed, publishers' streams broke 2 times, publishers were told unavailable 4 times, publishers waited up to 1.5 s/,
  );
});

test('a broken promise is shown, and kept is nothing else', () => {
  const broken = { ...calm, lost: 2, recoveryMs: undefined, broken: ['lost: 2', 'a line', 'another: one'] };
  const rows: Row[] = [
    { fault, result: broken },
    { fault, result: { failed: 'it did not come to its end' } },
    { fault, result: { skipped: 'it takes root' } },
  ];
  assert.deepEqual(rows.map(isKept), [false, false, true]);
  assert.match(
    last(rows[0] as Row),
    /\*\*broken\*\*: lost: 2 \| \*\*2\*\* of 12,000 deliveries .* \*\*never\*\*/,
  );
  assert.match(last(rows[1] as Row), /\*\*failed\*\*: it did not/);
});

test('a seed gives the order of all faults, those of a fleet together; another gives another', () => {
  const order = (seed: number) => inOrder(cases, new Random(seed));
  assert.deepEqual(order(7), order(7));
  assert.notDeepEqual(order(7).map(nameOf), order(8).map(nameOf));
  assert.deepEqual(order(7).map(nameOf).toSorted(), cases.map(nameOf).toSorted());
  const kinds = order(7).map(({ kind }) => kind);
  assert.equal(kinds.filter((kind, i) => kind !== kinds[i - 1]).length, new Set(kinds).size);
});

test('no two faults have one name', () => {
  assert.equal(new Set(cases.map(nameOf)).size, cases.length);
});

test('the seed comes from the arguments, else from the environment', () => {
  const env = { PUSHFLEET_FAULT_SEED: '5' };
  assert.equal(readOptions(['--seed', '4'], env).seed, 4);
  assert.equal(readOptions([], env).seed, 5);
  assert.throws(() => readOptions(['--seed', 'x'], {}), /whole number/);
  assert.throws(() => readOptions(['--write', '--only', 'edge'], {}), /leave --only out/);
});

test('the command that plays the same again has what was chosen', () => {
  const args = ['--containers', '--only', '^Redis: ', '--seed', '7'];
  assert.equal(commandOf(readOptions(args, {})), "npm run faults -- --containers --only '^Redis: ' --seed 7");
  assert.equal(commandOf(readOptions([], { PUSHFLEET_FAULT_SEED: '8' })), 'npm run faults -- --seed 8');
});
