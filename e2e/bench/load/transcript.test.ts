import assert from 'node:assert/strict';
import test from 'node:test';
import { eventData } from './transcript.ts';

const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n';
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

test('a plain body gives the data of its events and skips comments, ids and what is not finished', () => {
  const body = ': hi\n\nid: 1\ndata: one\n\nid: 2\n\ndata: two\ndata: lines\n\ndata: unfinished\n';
  assert.deepEqual(eventData(`${head}\r\n${body}`), ['one', 'two\nlines']);
});

test('chunks are joined wherever they end, and an unfinished one counts as far as it came', () => {
  const body = [chunk('data: o'), chunk('ne\n\ndata: two\n\n'), '40\r\ndata: three\n\ndata'].join('');
  assert.deepEqual(eventData(`${head}Transfer-Encoding: chunked\r\n\r\n${body}`), ['one', 'two', 'three']);
});

test('a response whose head is not complete has no events', () => {
  assert.deepEqual(eventData('HTTP/1.1 200 OK\r\ndata: one\n\n'), []);
});
