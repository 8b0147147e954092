import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Load } from '../load.ts';
import type { Client, Outcome } from '../trial.ts';
import { judge } from './measure.ts';
import { isKept } from './report.ts';

const run = 'this run';
const load = (number: number, topic = 'load/a/0'): Load => ({ run, publisher: 0, number, topic });
const all = [load(1), load(2), load(3)];

const client = (received: readonly Load[], more: Partial<Client> = {}): Client => ({
  ...{ name: 'a client', filters: ['load/a/#'], open: true, received, troubles: [], cuts: 0, failures: 0 },
  close: () => {},
  ...more,
});

/** What is broken where one client was given this, by its first word or two. */
function brokenFor(one: Client, more: Partial<Outcome> = {}): readonly string[] {
  const outcome: Outcome = {
    ...{ run, acknowledged: all, clients: [one], publishers: [], lost: [], recoveryMs: 10 },
    ...more,
  };
  const result = { ...judge(outcome, [], []), lastedMs: 1 };
  assert.equal(isKept({ fault: { where: 'a', what: 'b' }, result }), result.broken.length === 0);
  return result.broken.filter((line) => /^[\w, ]+: \d+$/.test(line));
}

describe('the judge of a fault', () => {
  test('keeps silent about what was promised', () => {
    assert.deepEqual(brokenFor(client(all)), []);
  });
  test('hears of what was lost, and of a gap', () => {
    assert.deepEqual(brokenFor(client(all), { lost: ['0-2'] }), ['lost: 1']);
    assert.deepEqual(brokenFor(client(all, { troubles: ['gap {}'] })), ['trouble: 1']);
  });
  test('sees two that were swapped, for whom order was promised', () => {
    const swapped = [load(1), load(3), load(2)];
    assert.deepEqual(brokenFor(client(swapped)), ['out of order: 1']);
    assert.deepEqual(brokenFor(client(swapped, { unordered: true })), []);
  });
  test('lets none come again to whom nothing happened', () => {
    const doubled = [...all, load(2)];
    assert.deepEqual(brokenFor(client(doubled)), ['doubled: 1']);
    assert.deepEqual(brokenFor(client(doubled, { cuts: 1 })), [], 'it resumed');
    assert.deepEqual(brokenFor(client([...doubled, load(2)], { cuts: 1 })), ['doubled: 1'], 'once');
    assert.deepEqual(brokenFor(client(doubled, { pulls: true })), [], 'it resumes each time');
  });
  test('sees what a client has not asked for, but not what an earlier trial left', () => {
    assert.deepEqual(brokenFor(client([...all, load(4, 'load/b/0')])), ['not asked for: 1']);
    const earlier = { ...load(4, 'load/b/0'), run: 'another' };
    assert.deepEqual(brokenFor(client([...all, earlier])), []);
  });
  test('does not call it kept where nobody saw the end of it', () => {
    assert.deepEqual(brokenFor(client(all), { recoveryMs: undefined }), ['never made good: 1']);
  });
});
