import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { Unreadable } from './bytes.ts';
import {
  decodeIn,
  decodeOut,
  encodeIn,
  encodeOut,
  type Fields,
  fromPieces,
  intoPieces,
  type KeptSent,
} from './hot-state.ts';

const packetId = fc.integer({ min: 1, max: 65_535 });
const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const sent: fc.Arbitrary<KeptSent> = fc
  .record(
    {
      qos: fc.constantFrom(1 as const, 2 as const),
      retain: fc.boolean(),
      shard: fc.integer({ min: 0, max: 63 }),
      sequence: fc.oneof(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 2 ** 51 }),
        fc.constantFrom(1, 63, 64, 65, 8_191, 8_192, 2 ** 51),
      ),
      topic: text,
      subscriptionIds: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 4 }),
    },
    { noNullPrototype: true },
  )
  .map((one) => ({ ...one, topic: one.retain ? one.topic : undefined }));

const unique = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<Map<number, T>> =>
  fc
    .uniqueArray(fc.tuple(packetId, value), { selector: ([id]) => id, maxLength: 40 })
    .map((entries) => new Map(entries));
const out = unique(fc.option(sent, { nil: undefined }));
const incoming = unique(
  fc.option(
    text.filter((one) => one !== ''),
    { nil: undefined },
  ),
);

/** What it is read as; Unreadable where it is refused, and nothing else may be thrown. */
function attempt<T>(read: () => T): T | 'unreadable' {
  try {
    return read();
  } catch (error) {
    assert.ok(error instanceof Unreadable, String(error));
    return 'unreadable';
  }
}

suite('what is kept of a session between packets', () => {
  test('is read as it was written, in its order', () => {
    fc.assert(
      fc.property(out, incoming, (sending, coming) => {
        assert.deepEqual([...decodeOut(encodeOut(sending))], [...sending]);
        assert.deepEqual([...decodeIn(encodeIn(coming))], [...coming]);
      }),
      { numRuns: 2_000 },
    );
  });

  test('takes few bytes where publications follow each other', () => {
    const following = Array.from({ length: 100 }, (_, i): [number, KeptSent] => [
      i + 1,
      {
        ...{ qos: 2, retain: false, shard: 3, sequence: 1_000_000_000 + i },
        ...{ topic: undefined, subscriptionIds: [] },
      },
    ]);
    assert.ok(encodeOut(new Map(following)).length <= 100 * 4 + 10);
  });

  test('is refused, and does no harm, where it is cut off or something else', () => {
    fc.assert(
      fc.property(out, fc.nat(), fc.nat(255), fc.nat(), (sending, at, value, cut) => {
        const bytes = encodeOut(sending);
        for (const other of [
          bytes.subarray(0, cut % (bytes.length + 1)),
          bytes.length === 0
            ? bytes
            : Buffer.from(bytes).fill(value, at % bytes.length, (at % bytes.length) + 1),
        ]) {
          const read = attempt(() => decodeOut(other));
          if (read !== 'unreadable') assert.deepEqual([...decodeOut(encodeOut(read))], [...read]);
        }
      }),
      { numRuns: 2_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        attempt(() => decodeOut(bytes));
        attempt(() => decodeIn(bytes));
      }),
      { numRuns: 2_000 },
    );
  });

  test('has no packet identifier twice, none that is 0, no mark and no place that there cannot be', () => {
    const wrong = {
      'identifier 0': [0, 0, 0],
      'an identifier twice': [0, 1, 0, 0, 1, 0],
      'QoS 3': [0, 1, 35, 2],
      'a mark of a later version': [0, 1, 65, 0, 2],
      'QoS 0 with a mark': [0, 1, 36, 2, 0],
      'sequence 0': [0, 1, 33, 0],
      'a sequence below 0': [0, 1, 33, 1],
      'a number that is none': [0, 1, 33, ...new Array(9).fill(0xff), 1],
      'more identifiers than there are bytes': [0, 1, 41, 2, 0xff, 0xff, 0x7f, 1],
      'a text that is cut off': [0, 1, 37, 2, 5, 65],
    };
    for (const [what, bytes] of Object.entries(wrong)) {
      assert.equal(
        attempt(() => decodeOut(Buffer.from(bytes))),
        'unreadable',
        what,
      );
    }
    assert.equal(
      attempt(() => decodeIn(Buffer.from([0, 1, 0, 0, 1, 0]))),
      'unreadable',
    );
  });

  test('lies in fields that are as large as one may be, and those that are not needed any more go', () => {
    const most = 65_536;
    let fields: Fields = {};
    let pieces = 0;
    for (const [length, expected] of [
      [0, 0],
      [1, 1],
      [most, 1],
      [most + 1, 2],
      [3 * most, 3],
      [most - 1, 1],
      [0, 0],
    ] as const) {
      const bytes = Buffer.alloc(length, length % 251);
      const put = intoPieces('out', bytes, pieces);
      const all: Record<string, Buffer | undefined> = {
        ...(fields as Record<string, Buffer>),
        ...put.fields,
      };
      fields = Object.fromEntries(
        Object.entries(all).filter((field): field is [string, Buffer] => field[1] !== undefined),
      );
      pieces = put.pieces;
      assert.equal(pieces, expected);
      assert.equal(Object.keys(fields).length, expected);
      assert.ok(Object.values(fields).every((field) => field.length <= most));
      const read = fromPieces('out', fields);
      assert.ok(bytes.equals(read.bytes));
      assert.equal(read.pieces, expected);
    }
  });
});
