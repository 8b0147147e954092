import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Publication } from '@pushfleet/core';
import { Mark } from './mark.ts';
import { draft } from './test/stage.ts';

const published = (shard: number, sequence: number, time: number): Publication => ({
  ...draft('a', 'a'),
  shard,
  sequence,
  time,
});

test('that a place was read from the log holds for it, further reading, and nothing that is made of it and another', () => {
  const read = Mark.parse('g-1-5.5~');
  assert.equal(read.cursor, 'g-1-5.5~');
  assert.equal(read.past(published(1, 6, 2), read).cursor, 'g-2-5.6~');
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
  const [later, same] = [Mark.parse('g-4-7.8'), Mark.parse('g-1-5.5~')];
  assert.equal(later.restarted(asked, same).cursor, 'g-4-7.8~');
  assert.equal(later.restarted(Mark.parse('g-2-5.5'), same).cursor, 'g-4-5.5~');
});

test('a place keeps its time while the log is read on to a shard whose turn has not come', () => {
  const [begin, until] = [Mark.parse('g-1-0.0.0'), Mark.parse('g-9-5.0.5')];
  const first = begin.past(published(0, 5, 4), until);
  assert.equal(first.cursor, 'g-1-5.0.0');
  assert.equal(first.past(published(2, 3, 2), until).cursor, 'g-2-5.0.3');
  assert.equal(Mark.parse('g-1-0.0.5').past(published(0, 5, 4), until).cursor, 'g-4-5.0.5');
  assert.equal(Mark.parse('g-1-_.0.5').past(published(1, 5, 4), until).cursor, 'g-1-_.5.5');
});

test('a place is without a position where the log has nothing of the kind, and keeps its text', () => {
  const head = Mark.parse('g-9-5.5');
  const known = Mark.parse('g-1-4.5~');
  assert.equal(known.within(head), known);
  for (const [text, positions] of [
    ['g-1-4.6', [4, undefined]],
    ['g-1-4', [4, undefined]],
    ['h-1-4.5', [undefined, undefined]],
  ] as const) {
    const mark = Mark.parse(text).within(head);
    assert.deepEqual([mark.cursor, mark.generation, mark.positions], [text, 'g', positions]);
    assert.equal(mark.earlier(head).cursor, text);
  }
});

test('where a place has no position, time tells what is behind it', () => {
  const mark = Mark.parse('g-5-3._');
  assert.deepEqual([mark.isPast(published(0, 3, 9)), mark.isPast(published(0, 4, 1))], [true, false]);
  assert.deepEqual([mark.isPast(published(1, 1, 4)), mark.isPast(published(1, 1, 5))], [true, false]);
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
