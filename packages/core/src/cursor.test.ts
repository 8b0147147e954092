import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatCursor, parseCursor } from './cursor.ts';
import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';

const vouched = fc.oneof(
  fc.constant({}),
  fc.constant({ read: true }),
  fc.record({ leaders: fc.stringMatching(/^[0-9a-z]{1,8}$/) }, { noNullPrototype: true }),
);
const bare = fc.record(
  {
    generation: fc.stringMatching(/^[0-9a-z]{1,16}$/),
    positions: fc.array(fc.option(fc.maxSafeNat(), { nil: undefined }), {
      minLength: 1,
      maxLength: limits.shards,
    }),
    time: fc.maxSafeNat(),
  },
  { noNullPrototype: true },
);
const place = fc.tuple(bare, vouched).map(([one, word]) => ({ ...one, ...word }));

const isRefused = (error: unknown) => error instanceof PushfleetError && error.code === 'cursor_invalid';

describe('a cursor', () => {
  test('gives its place back', () => {
    fc.assert(
      fc.property(place, (original) => assert.deepEqual(parseCursor(formatCursor(original)), original)),
    );
  });

  test('needs no escaping in a URL, a header or an SSE id', () => {
    fc.assert(fc.property(place, (original) => /^[0-9a-z._~-]+$/.test(formatCursor(original))));
  });

  test('has one text only, so that equal places compare equal as text', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[0-9a-z]{1,4}-[0-9a-z]{1,4}-[0-9a-z_.]{1,12}(~[0-9a-z]{0,3})?$/),
        (text) => {
          try {
            return formatCursor(parseCursor(text)) === text;
          } catch (error) {
            return isRefused(error);
          }
        },
      ),
    );
  });

  test('of anybody else is refused, with the text and what to do', () => {
    for (const text of [
      '',
      'x',
      '1-2',
      'A-1-1',
      '1-1-1-1',
      '1-1-1~123456789',
      '1-1-1~1~',
      '1-1-1~1-gzip',
      '1-1-..',
      '1-01-1',
      '1-1-01',
      '1-1-1~~',
      '1-1~-1',
      '1-zzzzzzzzzzzz-1',
      '1-1-é',
    ]) {
      assert.throws(() => parseCursor(text), isRefused, text);
    }
    const tooMany = formatCursor({ generation: 'g', positions: Array(limits.shards + 1).fill(1), time: 1 });
    assert.throws(() => parseCursor(tooMany), isRefused);
    assert.throws(() => parseCursor('a'.repeat(limits.cursorLength + 1)), isRefused);
  });

  test('any text at all is parsed or refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          parseCursor(text);
          return true;
        } catch (error) {
          return isRefused(error);
        }
      }),
    );
  });
});
