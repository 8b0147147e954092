import assert from 'node:assert/strict';
import test from 'node:test';
import { makePayload } from './payload.ts';
import { payloadsOf } from './transcript.ts';

const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n';
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

test('a plain body gives the data of its events and skips comments, ids and what is not finished', () => {
  const body = ': hi\n\nid: 1\ndata: one\n\nid: 2\n\ndata: two\ndata: lines\n\ndata: unfinished\n';
  assert.deepEqual(payloadsOf(`${head}\r\n${body}`), ['one', 'two\nlines']);
});

test('chunks are joined wherever they end, and an unfinished one counts as far as it came', () => {
  const body = [chunk('data: o'), chunk('ne\n\ndata: two\n\n'), '40\r\ndata: three\n\ndata'].join('');
  assert.deepEqual(payloadsOf(`${head}Transfer-Encoding: chunked\r\n\r\n${body}`), ['one', 'two', 'three']);
});

test('a response whose head is not complete has no events', () => {
  assert.deepEqual(payloadsOf('HTTP/1.1 200 OK\r\ndata: one\n\n'), []);
});

test('of a WebSocket the payloads that stand in messages are given, whatever stands around them', () => {
  const [first, second] = [makePayload(1), makePayload(22, 400)];
  const message = (text: string) => {
    const head = Buffer.from([0x81, 0x7e, 0, 0]);
    head.writeUInt16BE(text.length, 2);
    return head.toString('latin1') + text;
  };
  const answer = 'HTTP/1.1 101 Switching Protocols\r\n\r\n';
  const raw = answer + message(`42["m","${first}"]`) + message(JSON.stringify({ event: { data: second } }));
  assert.deepEqual(payloadsOf(raw), [first, second]);
  assert.deepEqual(payloadsOf(raw.slice(0, -1)), [first]);
  assert.deepEqual(payloadsOf(`${head}\r\ndata: one\n\n`), ['one']);
});
