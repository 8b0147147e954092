import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Runs } from './runs.ts';

const a = Buffer.from('a');
const b = Buffer.from('b');
const c = Buffer.from('c');

test('one frame is written as it is; the same run is joined once', () => {
  const runs = new Runs();
  assert.equal(runs.bytes([a]), a);
  const joined = runs.bytes([a, b]);
  assert.equal(joined.toString(), 'ab');
  assert.equal(runs.bytes([a, b]), joined);
});

test('runs that begin and end alike are told apart', () => {
  const runs = new Runs();
  assert.equal(runs.bytes([a, b, c]).toString(), 'abc');
  assert.equal(runs.bytes([a, a, c]).toString(), 'aac');
  assert.equal(runs.bytes([a, c]).toString(), 'ac');
});

test('a run is forgotten after a turn of the event loop', async () => {
  const runs = new Runs();
  const joined = runs.bytes([a, b]);
  await turn();
  assert.notEqual(runs.bytes([a, b]), joined);
});

test('many different runs are all joined, though not all remembered', () => {
  const runs = new Runs();
  for (let i = 0; i < 1_000; i++) assert.equal(runs.bytes([Buffer.from([i & 0xff]), a]).length, 2);
});
