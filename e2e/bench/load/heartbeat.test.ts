import assert from 'node:assert/strict';
import test from 'node:test';
import { clientPong, clientText } from './frames.ts';
import { answerToPing } from './heartbeat.ts';

test('a ping is answered with its payload, alone and behind a message', () => {
  const pong = clientPong(Buffer.from('ab'));
  const ping = Buffer.from([0x89, 0x02, 0x61, 0x62]);
  assert.deepEqual(answerToPing(ping), pong);
  assert.deepEqual(answerToPing(Buffer.concat([Buffer.from([0x81, 0x01, 0x78]), ping])), pong);
});

test("Engine.IO's ping is a text and has its own answer", () => {
  assert.deepEqual(answerToPing(Buffer.from([0x81, 0x01, 0x32])), clientText('3'));
});

test('messages, HTTP and pieces of frames need no answer', () => {
  const needless = ['HTTP/1.1 200 OK\r\n', '\x81\x01x', '\x81\x05pi', '\xff\xff\xff', '\x8a\x00'];
  for (const text of needless) assert.equal(answerToPing(Buffer.from(text, 'latin1')), undefined, text);
});
