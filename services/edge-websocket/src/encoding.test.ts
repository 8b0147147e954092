import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, inflateRawSync } from 'node:zlib';
import { opcodes } from '@pushfleet/edge/websocket';
import fc from 'fast-check';
import { deflatedFrame, Encodings } from './encoding.ts';
import { readSaid, serverFrames } from './testing-client.ts';
import { at, delivery } from './testing-items.ts';

const long = { payload: Buffer.from('long '.repeat(1_000)) };
const only = (bytes: Buffer) => {
  const [frame, ...others] = serverFrames(bytes);
  assert.deepEqual(others, []);
  return frame as NonNullable<typeof frame>;
};
// RFC 7692 section 7.2.2.
const inflated = (payload: Buffer, windowBits = 15): Buffer =>
  inflateRawSync(Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]), {
    windowBits,
    finishFlush: constants.Z_SYNC_FLUSH,
  });

test('a publication is encoded once for all connections of the same form', () => {
  const encodings = new Encodings(1_024);
  const item = delivery(1, long);
  const plain = encodings.of(undefined)(item);
  const deflated = encodings.of({ windowBits: 15 })(item);
  assert.equal(encodings.of(undefined)(item), plain);
  assert.equal(encodings.of({ windowBits: 15 })(item), deflated);
  assert.notEqual(encodings.of({ windowBits: 9 })(item), deflated);
  assert.equal(item.made.size, 3);
});

test('text is JSON in a text frame', () => {
  const { first, payload } = only(
    new Encodings(0).of(undefined)(delivery(7, { type: 'paid', retained: true })),
  );
  assert.equal(first, 0x81);
  const { type, event, retained } = readSaid(payload, false) as {
    type: string;
    retained: boolean;
    event: object;
  };
  assert.deepEqual([type, retained], ['publication', true]);
  assert.deepEqual(event, {
    ...{
      specversion: '1.0',
      id: '7',
      source: 's',
      type: 'paid',
      subject: 't',
      time: '1970-01-01T00:00:00.007Z',
    },
    ...{ datacontenttype: 'text/plain', pushfleetcursor: at(7), data: 'p7' },
  });
});

test('what is not text travels in a binary frame, behind the same JSON', () => {
  const bytes = Buffer.from([0, 255, 1]);
  const item = delivery(7, { contentType: 'image/png', payload: bytes });
  const { first, payload } = only(new Encodings(0).of(undefined)(item));
  assert.equal(first, 0x82);
  const { type, event, payload: given } = readSaid(payload, true);
  assert.deepEqual([type, given], ['publication', bytes]);
  assert.equal((event as { data?: unknown }).data, undefined);
  assert.equal((event as { data_base64?: unknown }).data_base64, undefined);
});

test('a gap', () => {
  const { payload } = only(new Encodings(0).of(undefined)({ kind: 'gap', from: at(1), to: at(2) }));
  assert.deepEqual(readSaid(payload, false), { type: 'gap', from: at(1), to: at(2) });
});

test('below the threshold nothing is deflated, from it on what becomes smaller is', () => {
  const message = { opcode: opcodes.text, pieces: [Buffer.from('x'.repeat(100))] };
  assert.equal(only(deflatedFrame(message, 15, 101)).first, 0x81);
  assert.equal(only(deflatedFrame(message, 15, 100)).first, 0xc1);
  const noise = { opcode: opcodes.binary, pieces: [Buffer.from('8f3a77c1d0', 'hex')] };
  assert.equal(only(deflatedFrame(noise, 15, 0)).first, 0x82);
});

test('what is deflated inflates by itself, with the window that was agreed on', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 3_000 }), fc.integer({ min: 9, max: 15 }), (text, windowBits) => {
      const bytes = Buffer.from(`${text} `.repeat(20));
      const { first, payload } = only(
        deflatedFrame({ opcode: opcodes.text, pieces: [bytes] }, windowBits, 0),
      );
      assert.deepEqual((first & 0x40) === 0 ? payload : inflated(payload, windowBits), bytes);
    }),
    { numRuns: 50 },
  );
});
