import assert from 'node:assert/strict';
import test from 'node:test';
import { clientPong, clientText, serverFrame, serverMessages } from './frames.ts';

const bytes = (...parts: (readonly number[] | string)[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)));
const texts = (stream: Buffer) => Array.from(serverMessages(stream), (message) => message.toString());

test('a client masks its text and its pong', () => {
  // RFC 6455 section 5.7: a masked text message "Hello".
  assert.equal(clientText('Hello').toString('hex'), '818537fa213d7f9f4d5158');
  assert.equal(clientPong(Buffer.from('Hello')).toString('hex'), '8a8537fa213d7f9f4d5158');
});

test('a client writes longer texts with 16 bits of length', () => {
  assert.equal(clientText('x'.repeat(125)).subarray(0, 2).toString('hex'), '81fd');
  assert.equal(clientText('x'.repeat(126)).subarray(0, 4).toString('hex'), '81fe007e');
});

test('whole messages of a server are read, with lengths of 7, 16 and 64 bits', () => {
  const long = 'l'.repeat(70_000);
  const medium = 'm'.repeat(300);
  const stream = bytes(
    [0x81, 0x05],
    'short',
    [0x81, 0x7e, 0x01, 0x2c],
    medium,
    [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0x11, 0x70],
    long,
  );
  assert.deepEqual(texts(stream), ['short', medium, long]);
});

test('fragments are joined around a ping, and what is not whole yet is left out', () => {
  const stream = bytes([0x01, 0x03], 'Hel', [0x89, 0x00], [0x80, 0x02], 'lo', [0x81, 0x05], 'lat');
  assert.deepEqual(texts(stream), ['Hello']);
  assert.equal(serverFrame(bytes([0x81, 0x7e, 0x01]), 0), undefined);
});

test('a masked or extended frame of a server is an error', () => {
  assert.throws(() => texts(bytes([0x81, 0x80, 1, 2, 3, 4])), /81 80/);
  assert.throws(() => texts(bytes([0xc1, 0x00])), /c1 0/);
});
