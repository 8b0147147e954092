import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { formatCursor, PushfleetError } from '@pushfleet/core';
import { parseBody, parseForm } from '@pushfleet/edge';
import { type PollAsk, parsePoll } from './request.ts';

const limits = { filters: 3, waitMs: 25_000, mostWaitMs: 60_000, batchCount: 200 };
const a = formatCursor({ generation: 'g', time: 1, positions: [1] });
const b = formatCursor({ generation: 'g', time: 2, positions: [2] });
const ask = (query: string, headers: IncomingHttpHeaders = {}): PollAsk =>
  parsePoll(headers, [parseForm(query)], limits);

test('what is not said is as configured', () => {
  assert.deepEqual(ask('topic=t'), {
    filters: ['t'],
    after: undefined,
    retained: false,
    waitMs: 25_000,
    applied: undefined,
    count: 200,
    ticket: undefined,
  });
});

test('a default above the most is the most', () => {
  assert.equal(parsePoll({}, [parseForm('topic=t')], { ...limits, waitMs: 90_000 }).waitMs, 60_000);
});

test('If-None-Match wins over the parameter, and * gives way to it', () => {
  assert.equal(ask(`topic=t&after=${b}`, { 'if-none-match': `"${a}"` }).after, a);
  assert.equal(ask(`topic=t&after=${b}`, { 'if-none-match': '*' }).after, b);
  assert.equal(ask('topic=t&after=').after, undefined);
});

test('retained publications come with the first answer alone, whatever a client repeats', () => {
  assert.equal(ask('topic=t&retained=1').retained, true);
  assert.equal(ask(`topic=t&retained=1&after=${a}`).retained, false);
});

const waits: readonly [string, IncomingHttpHeaders, number, string | undefined][] = [
  ['wait=0', {}, 0, undefined],
  ['wait=60', {}, 60_000, undefined],
  ['', { prefer: 'wait=0' }, 0, 'wait=0'],
  ['', { prefer: 'wait=60' }, 60_000, 'wait=60'],
  ['', { prefer: 'wait=61' }, 60_000, 'wait=60'],
  ['wait=5', { prefer: 'wait=7' }, 7_000, 'wait=7'],
  ['wait=5', { prefer: 'respond-async' }, 5_000, undefined],
];
for (const [query, headers, waitMs, applied] of waits) {
  test(`"${query}" with Prefer: ${headers.prefer} waits ${waitMs} ms`, () => {
    const { waitMs: found, applied: told } = ask(`topic=t&${query}`, headers);
    assert.deepEqual([found, told], [waitMs, applied]);
  });
}

test('limits of count: at, below and above', () => {
  assert.deepEqual([ask('topic=t&count=200').count, ask('topic=t&count=1').count], [200, 1]);
});

const refused: readonly [string, string, number?][] = [
  ['request_invalid', ''],
  ['request_invalid', 'topic=t&wiat=100'],
  ['request_invalid', 'topic=t&last_event_id=x'],
  ['request_invalid', 'topic=t&wait=61', 60],
  ['request_invalid', 'topic=t&wait=-1', 60],
  ['request_invalid', 'topic=t&wait=1.5', 60],
  ['request_invalid', 'topic=t&wait=soon', 60],
  ['request_invalid', 'topic=t&count=0', 200],
  ['request_invalid', 'topic=t&count=201', 200],
  ['request_invalid', 'topic=t&count=9999999999999999', 200],
  ['request_invalid', 'topic=t&retained=perhaps'],
  ['filter_invalid', 'topic=a/%23/b'],
  ['cursor_invalid', 'topic=t&after=nonsense'],
  ['too_many_filters', 'topic=a&topic=b&topic=c&topic=d', 3],
];
for (const [code, query, limit] of refused) {
  test(`"${query}" is ${code}`, () => {
    assert.throws(
      () => ask(query),
      (error) => error instanceof PushfleetError && error.code === code && error.detail?.limit === limit,
    );
  });
}

test('a body says the same, numbers as numbers, behind the URL', () => {
  const json = parseBody(
    'application/json',
    Buffer.from('{"topic":["a","b"],"wait":3,"count":7,"retained":true}'),
  );
  const found = parsePoll({}, [parseForm('topic=c&wait=4'), json], limits);
  assert.deepEqual(found.filters, ['c', 'a', 'b']);
  assert.deepEqual([found.waitMs, found.count, found.retained], [4_000, 7, true]);
});
