import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longestWishMs } from '../retry.ts';
import { retryAfterMs } from './retry-after.ts';

const now = Date.UTC(2025, 10, 6, 8, 49, 30);

for (const [value, ms] of [
  ['0', 0],
  ['120', 120_000],
  [' 7 ', 7_000],
  ['86399', 86_399_000],
  ['86400', longestWishMs],
  ['86401', longestWishMs],
  ['999999999999999999999', longestWishMs],
  ['Thu, 06 Nov 2025 08:49:37 GMT', 7_000],
  ['Thursday, 06-Nov-25 08:49:37 GMT', 7_000],
  ['Thu Nov  6 08:49:37 2025', 7_000],
  // A past time asks for no wait; two digits that would lie far ahead are of the century before.
  ['Sun, 06 Nov 1994 08:49:37 GMT', 0],
  ['Sunday, 06-Nov-94 08:49:37 GMT', 0],
  ['Sat, 06 Nov 2027 08:49:37 GMT', longestWishMs],
  [undefined, undefined],
  ['', undefined],
  ['-1', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['2025-11-06T08:49:37Z', undefined],
  ['Thu, 06 Nov 2025 08:49:37 CET', undefined],
] as const) {
  test(`Retry-After: ${value}`, () => assert.equal(retryAfterMs(value, now), ms));
}
