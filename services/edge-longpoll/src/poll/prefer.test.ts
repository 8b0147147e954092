import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { preferredWait } from './prefer.ts';

const headers: readonly [string | undefined, number | undefined][] = [
  [undefined, undefined],
  ['', undefined],
  ['wait=10', 10],
  ['wait = 10', 10],
  ['WAIT=0', 0],
  ['respond-async, wait=10', 10],
  ['wait=10, respond-async', 10],
  ['wait="10"', 10],
  ['wait=10; foo="some parameter"', 10],
  ['foo="a, wait=3", wait=4', 4],
  ['foo="\\", wait=3", wait=4', 4],
  ['wait=3, wait=4', 3],
  ['foo; wait=3', undefined],
  ['awaited=3', undefined],
  // The first one counts, and one that cannot be read is none.
  ['wait=soon, wait=4', undefined],
  ['wait, wait=4', undefined],
  ['wait=-1', undefined],
  ['wait=1.5', undefined],
  ['wait=99999999999999999999', undefined],
  ['wait=10 20', undefined],
  ['"wait=3', undefined],
  [`${'x'.repeat(1_001)}, wait=3`, undefined],
];
for (const [header, wait] of headers) {
  test(`Prefer: ${header?.slice(0, 40)} is a wait of ${wait}`, () =>
    assert.equal(preferredWait(header), wait));
}

test('no text makes it throw, or name a wait that is no number of seconds', () => {
  const piece = fc.oneof(fc.constantFrom('wait', '=', '"', ',', ';', ' ', '\\', '7'), fc.string());
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const wait = preferredWait(pieces.join('')) ?? 0;
      assert.ok(Number.isSafeInteger(wait) && wait >= 0);
    }),
  );
});
