import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mark } from './mark.ts';

test('that a place was read from the log holds for that place alone', () => {
  const read = Mark.parse('g-1-5.5~');
  assert.equal(read.cursor, 'g-1-5.5~');
  assert.equal(read.past(0, 6, 2).cursor, 'g-2-6.5');
  const [near, far] = [Mark.parse('g-1-4.4'), Mark.parse('g-1-6.6')];
  assert.equal(read.earlier(far).cursor, 'g-1-5.5');
  assert.equal(far.earlier(read).cursor, 'g-1-5.5');
  assert.equal(near.later(read).cursor, 'g-1-5.5');
  assert.equal(read.later(far).cursor, 'g-1-6.6');
  assert.equal(read.later(read), read);
});
