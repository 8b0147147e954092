import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeFrame, frame, frameHead, opcodes, pingFrame, textFrame } from './frames.ts';

const hex = (bytes: Buffer): string => bytes.toString('hex');

test('a text is one unmasked frame with FIN (RFC 6455 section 5.7)', () => {
  assert.equal(hex(textFrame('Hello')), '810548656c6c6f');
  assert.equal(hex(textFrame('ä')), '8102c3a4');
  assert.equal(hex(textFrame('')), '8100');
});

test('the length takes 7, 16 or 64 bits, and never more than it needs', () => {
  const begins = (length: number) => hex(frame(opcodes.binary, [Buffer.alloc(length)]).subarray(0, 10));
  assert.match(begins(125), /^827d00/);
  assert.match(begins(126), /^827e007e00/);
  assert.match(begins(65_535), /^827effff00/);
  assert.equal(begins(65_536), '827f0000000000010000');
  assert.equal(frame(opcodes.binary, [Buffer.alloc(65_536)]).length, 65_546);
  for (const length of [0, 125, 126, 65_535, 65_536]) {
    const payload = Buffer.alloc(length, 'x');
    const parts = [frameHead(opcodes.binary, length), payload];
    assert.deepEqual(Buffer.concat(parts), frame(opcodes.binary, [payload]));
  }
});

test('pieces follow each other; RSV1 says deflated', () => {
  assert.equal(hex(frame(opcodes.binary, [Buffer.from([1]), Buffer.from([2, 3])])), '8203010203');
  assert.equal(hex(frame(opcodes.text, [Buffer.from([7])], true)), 'c10107');
});

test('a close frame has a code and a reason of whole characters', () => {
  assert.equal(hex(closeFrame(1012, 'x')), '880303f478');
  assert.equal(hex(closeFrame()), '8800');
  const long = closeFrame(1008, 'ä'.repeat(100));
  assert.equal(long[1], 124);
  assert.equal(long.subarray(4).toString(), 'ä'.repeat(61));
});

test('the ping that all connections share is empty', () => {
  assert.equal(hex(pingFrame), '8900');
});
