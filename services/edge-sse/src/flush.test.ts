import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FlushQueue, Runs } from './flush.ts';

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

test('runs are forgotten after the pass', () => {
  const runs = new Runs();
  const joined = runs.bytes([a, b]);
  runs.clear();
  assert.notEqual(runs.bytes([a, b]), joined);
});

test('everybody added in one turn is flushed together; one that throws does not hold up the others', async () => {
  const queue = new FlushQueue();
  const log: string[] = [];
  const one = (name: string, flush: () => void) => ({
    flush: () => {
      log.push(name);
      flush();
    },
    failed: (error: unknown) => log.push(String(error)),
  });
  queue.add(
    one('first', () => {
      throw new Error('bad');
    }),
  );
  queue.add(one('second', () => queue.add(one('third', () => {}))));
  assert.deepEqual(log, []);
  await turn();
  assert.deepEqual(log.slice(0, 3), ['first', 'Error: bad', 'second']);
  await turn();
  assert.equal(log[3], 'third');
});
