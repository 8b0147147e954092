import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCursor, PushfleetError, parseCursor } from '@pushfleet/core';
import fc from 'fast-check';
import { cursorOfTags, tagOf } from './etag.ts';

const early = formatCursor({ generation: 'g', time: 1, positions: [9] });
const late = formatCursor({ generation: 'g', time: 2, positions: [10], read: true });

test('the tag of a cursor is strong, and gives the cursor back', () => {
  assert.equal(tagOf(early), `"${early}"`);
  assert.equal(cursorOfTags(tagOf(late)), late);
});

const headers: readonly [string, string | undefined, string | undefined][] = [
  ['none', undefined, undefined],
  ['an empty one', ' ', undefined],
  ['*, which names no place', '*', undefined],
  ['a tag that a proxy made weak', `W/"${late}"`, late],
  ['a list, of which the earliest counts', `"${late}", W/"${early}"`, early],
  ['a list with empty elements', ` , "${late}" ,, "${early}",`, early],
  ['nothing but empty elements', ' , ', undefined],
];
for (const [what, header, cursor] of headers) {
  test(`If-None-Match: ${what}`, () => assert.equal(cursorOfTags(header), cursor));
}

const refused: readonly [string, string][] = [
  ['without quotes', early],
  ['cut short', `"${early}`],
  ['of somebody else', '"33a64df5"'],
  ['of somebody else beside ours', `"${early}", "33a64df5"`],
  ['that a proxy lengthened', `"${early}-gzip"`],
  ['weak in the wrong way', `w/"${early}"`],
  ['* among others', `*, "${early}"`],
];
for (const [what, header] of refused) {
  test(`a tag ${what} is refused: passed over, it would begin anew and lose something`, () => {
    assert.throws(
      () => cursorOfTags(header),
      (error) => error instanceof PushfleetError && error.code === 'cursor_invalid',
    );
  });
}

test('any text is a cursor of this fleet, none, or refused', () => {
  const piece = fc.oneof(fc.constantFrom('"', ',', 'W/', ' ', '*', early, late), fc.string());
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      try {
        const cursor = cursorOfTags(pieces.join(''));
        if (cursor !== undefined) parseCursor(cursor);
      } catch (error) {
        assert.equal((error as PushfleetError).code, 'cursor_invalid');
      }
    }),
  );
});
