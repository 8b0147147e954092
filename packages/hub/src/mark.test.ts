import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mark } from './mark.ts';

test('that a place was read from the log holds for it, further reading, and nothing that is made of it and another', () => {
  const read = Mark.parse('g-1-5.5~');
  assert.equal(read.cursor, 'g-1-5.5~');
  assert.equal(read.past(0, 6, 2).cursor, 'g-2-6.5~');
  const [near, far] = [Mark.parse('g-1-4.4'), Mark.parse('g-1-6.6')];
  assert.equal(read.earlier(far).cursor, 'g-1-5.5');
  assert.equal(far.earlier(read).cursor, 'g-1-5.5');
  assert.equal(near.later(read).cursor, 'g-1-5.5');
  assert.equal(read.later(far).cursor, 'g-1-6.6');
  assert.equal(read.later(read), read);
  const further = Mark.parse('g-2-9.5~');
  assert.deepEqual([read.later(further).cursor, further.earlier(read).cursor], ['g-2-9.5~', 'g-1-5.5~']);
  assert.equal(read.readTo(far).cursor, 'g-1-6.6~');
  assert.equal(near.readTo(far).cursor, 'g-1-6.6');
});

test('a place goes back where the log did, from wherever the log was asked', () => {
  const start = Mark.parse('g-1-2.5~');
  const asked = Mark.parse('g-1-5.5');
  assert.equal(asked.restarted(asked, start).cursor, 'g-1-2.5~');
  assert.equal(Mark.parse('g-4-7.8').restarted(asked, start).cursor, 'g-4-2.8~');
  assert.equal(Mark.parse('g-4-1.8').restarted(asked, start).cursor, 'g-4-1.8~');
  const incomplete = Mark.parse('g-4-_.8');
  assert.equal(incomplete.restarted(incomplete, Mark.parse('g-4-6.3~')).cursor, 'g-4-6.3~');
  assert.equal(Mark.parse('h-1-9').restarted(asked, start).cursor, 'h-1-9');
});

test('of two places the earlier is behind neither, where one of them resumes a shard by its time', () => {
  const live = Mark.parse('g-mywpiwwc-2s.5k');
  const stored = Mark.parse(`g-${(live.time - 60_000).toString(36)}-46._`);
  for (const [one, other] of [
    [live, stored],
    [stored, live],
  ] as const) {
    const earlier = one.earlier(other);
    assert.deepEqual([earlier.positions, earlier.time], [[100, undefined], stored.time]);
  }
  const later = Mark.parse(`g-${(live.time + 60_000).toString(36)}-1._`);
  const { positions, time } = live.earlier(later);
  assert.deepEqual([positions, time], [[1, undefined], live.time - 10_000]);
  assert.equal(stored.earlier(Mark.parse(stored.cursor)).cursor, stored.cursor);
});
