import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Place } from '@pushfleet/core';
import { Leaders } from './leaders.ts';

const place = (time: number, leaders?: string, read = false): Place => ({
  generation: 'g',
  positions: [1, 1],
  time,
  read,
  leaders,
});

const changeAt = 100_000;

function changed(): { leaders: Leaders; before: string; changes: number[] } {
  const changes: number[] = [];
  const leaders = new Leaders((shard) => changes.push(shard));
  leaders.hear(0, { name: 'a 1', since: 1 });
  leaders.hear(1, { name: 'b 1', since: 1 });
  const before = leaders.name as string;
  leaders.hear(1, { name: 'c 2', since: changeAt });
  return { leaders, before, changes };
}

test('whoever hears of the same leaders has the same name for them, in whichever order', () => {
  const { leaders, before, changes } = changed();
  assert.deepEqual(changes, [1], 'the first of a shard are no change');
  const other = new Leaders(() => {});
  other.hear(1, { name: 'c 2', since: changeAt });
  other.hear(0, { name: 'a 1', since: 1 });
  assert.equal(other.name, leaders.name);
  assert.notEqual(before, leaders.name);
  assert.match(other.name as string, /^[0-9a-z]{1,7}$/);
});

test('a log without elections has no name for its leaders, and every place is trusted', () => {
  const leaders = new Leaders(() => {});
  leaders.hear(0, { name: '', since: undefined });
  assert.equal(leaders.name, undefined);
  assert.ok(leaders.trusts(place(0)));
});

test('a place is trusted whose giver knew, that was read, or that is older or newer than the doubt', () => {
  const { leaders, before } = changed();
  assert.ok(leaders.trusts(place(changeAt + 1, leaders.name)), 'its giver knew');
  assert.ok(leaders.trusts(place(changeAt + 1, undefined, true)), 'it was read');
  assert.ok(leaders.trusts(place(changeAt - 1_001, before)), 'it is older than the change');
  assert.ok(!leaders.trusts(place(changeAt - 1_000, before)), 'clocks may be apart so far');
  assert.ok(!leaders.trusts(place(changeAt + 10_000, before)));
  assert.ok(
    leaders.trusts(place(changeAt + 10_001, before)),
    'who has not heard for ten seconds has missed nothing',
  );
  for (const unknown of ['other', undefined]) assert.ok(!leaders.trusts(place(changeAt - 5_000, unknown)));
});

test('a place of two changes ago is measured by the first of them', () => {
  const { leaders, before } = changed();
  leaders.hear(0, { name: 'd 3', since: changeAt + 5_000 });
  assert.ok(!leaders.trusts(place(changeAt + 2_000, before)));
  assert.ok(leaders.trusts(place(changeAt - 2_000, before)));
});
