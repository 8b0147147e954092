import assert from 'node:assert/strict';
import { it } from 'node:test';
import { retryDelay } from './retry.ts';

it('spreads each delay of the table by a fifth, and ends behind the last', () => {
  assert.equal(
    retryDelay([5_000, 300_000], 1, undefined, () => 0),
    4_000,
  );
  assert.equal(
    retryDelay([5_000, 300_000], 1, undefined, () => 1),
    6_000,
  );
  assert.equal(
    retryDelay([5_000, 300_000], 2, undefined, () => 0.5),
    300_000,
  );
  assert.equal(retryDelay([5_000, 300_000], 3, undefined), undefined);
});

it('waits longer where the receiver asks for it, up to a day, and never less', () => {
  assert.equal(retryDelay([5_000], 1, 60_000), 60_000);
  assert.equal(
    retryDelay([5_000], 1, 1, () => 0.5),
    5_000,
  );
  assert.equal(retryDelay([5_000], 1, 86_400_001), 86_400_000);
});
