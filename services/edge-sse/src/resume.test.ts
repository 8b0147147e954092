import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCursor, parseCursor } from '@pushfleet/core';
import { head, RawClient, token } from '@pushfleet/edge/testing';
import { startEdge } from './testing.ts';
import { Page } from './testing-client.ts';

const headers = { Authorization: `Bearer ${token()}` };
const get = (query: string, more: Record<string, string> = {}): string =>
  head(`GET /sse?${query} HTTP/1.1`, { ...headers, ...more });
const payloads = (client: RawClient): (string | undefined)[] =>
  [...client.received.matchAll(/^data: (\w+)$/gm)].map(([, text]) => text);

test('EventSource goes on at another edge where it was cut off at the first, over all its topics', async (t) => {
  const first = await startEdge(t);
  const second = await startEdge(t, {}, first);
  const page = new Page({ url: `${first.url}?topic=a/%2B&topic=b`, types: ['paid'] });
  await page.live();
  await first.publish('a/1', 'one');
  await first.publish('b', 'two', { type: 'paid' });
  await page.has(1, 'paid');
  page.port = second.port;
  await first.edge.close();
  await first.publish('a/2', 'three');
  await first.publish('c', 'not asked for');
  await first.publish('b', 'four');
  await page.live(2);
  await second.publish('a/3', 'five');
  assert.deepEqual(await page.has(4), ['one', 'three', 'four', 'five']);
  assert.deepEqual(page.data('paid'), ['two']);
  assert.deepEqual(page.data('pushfleet.gap'), []);
  page.close();
});

test('what is published between the opening and a cut is not lost, though no event had arrived', async (t) => {
  const edge = await startEdge(t);
  const client = await new RawClient(edge.port, get('topic=t')).has('pushfleet.open');
  const id = /^id: (\S+)$/m.exec(client.received)?.[1] as string;
  client.close();
  await edge.publish('t', 'meanwhile');
  const resumed = await new RawClient(edge.port, get('topic=t', { 'Last-Event-ID': id })).has(
    'data: meanwhile',
  );
  resumed.close();
});

const ways: readonly [string, (one: string, two: string, three: string) => string, string[]][] = [
  ['last_event_id', (one) => get(`topic=t&last_event_id=${one}`), ['two', 'three']],
  ['lastEventId', (_, two) => get(`topic=t&lastEventId=${two}`), ['three']],
  ['the header', (_, two) => get('topic=t', { 'Last-Event-ID': two }), ['three']],
  [
    'the header before the URL',
    (one, two) => get(`topic=t&last_event_id=${one}`, { 'Last-Event-ID': two }),
    ['three'],
  ],
  [
    'the URL where the header is empty',
    (_, two) => get(`topic=t&last_event_id=${two}`, { 'Last-Event-ID': '' }),
    ['three'],
  ],
  ['nothing: empty is none', () => get('topic=t&last_event_id='), []],
  ['the newest', (_one, _two, three) => get(`topic=t&last_event_id=${three}`), []],
];
for (const [what, request, expected] of ways) {
  test(`resuming by ${what}`, async (t) => {
    const edge = await startEdge(t);
    const { cursor: one } = await edge.publish('t', 'one');
    const { cursor: two } = await edge.publish('t', 'two');
    const { cursor: three } = await edge.publish('t', 'three');
    const client = await new RawClient(edge.port, request(one, two, three)).has('pushfleet.open');
    await edge.publish('t', 'end');
    await client.has('data: end');
    assert.deepEqual(payloads(client), [...expected, 'end']);
    client.close();
  });
}

test('a gap is told in-band, and the stream goes on behind it', async (t) => {
  const edge = await startEdge(t);
  const { cursor } = await edge.publish('t', 'kept');
  const place = parseCursor(cursor);
  const lost = formatCursor({ ...place, generation: 'lost' });
  const page = new Page({ url: `${edge.url}?topic=t&last_event_id=${lost}` });
  await page.live();
  const gap = JSON.parse((await page.has(1, 'pushfleet.gap'))[0] as string);
  assert.equal(gap.from, lost);
  assert.equal(parseCursor(gap.to).generation, place.generation);
  await edge.publish('t', 'after');
  assert.deepEqual(await page.has(2), ['kept', 'after']);
  page.close();
});

test('retained publications come first, when asked for', async (t) => {
  const edge = await startEdge(t);
  await edge.publish('state/a', 'kept', { retain: true });
  const page = new Page({ url: `${edge.url}?topic=state/%23&retained=1` });
  await page.live();
  assert.deepEqual(await page.has(1), ['kept']);
  page.close();
  const without = await new RawClient(edge.port, get('topic=state/%23')).has('pushfleet.open');
  await edge.publish('state/b', 'live');
  await without.has('data: live');
  assert.deepEqual(payloads(without), ['live']);
  without.close();
});

test('namespaces do not see each other', async (t) => {
  const edge = await startEdge(t);
  const ours = new Page({ url: `${edge.url}?topic=%23` });
  const theirs = new Page({
    url: `${edge.url}?topic=%23`,
    headers: { Authorization: `Bearer ${token({ ns: 'team2' })}` },
  });
  await Promise.all([ours.live(), theirs.live()]);
  await edge.publish('t', 'for team2', { namespace: 'team2' });
  await edge.publish('t', 'for default');
  assert.deepEqual(await theirs.has(1), ['for team2']);
  assert.deepEqual(await ours.has(1), ['for default']);
  ours.close();
  theirs.close();
});

test('a page reads text with any line endings, bytes and envelopes', async (t) => {
  const edge = await startEdge(t);
  const page = new Page({ url: `${edge.url}?topic=t` });
  const envelopes = new Page({ url: `${edge.url}?topic=t&format=cloudevents` });
  await Promise.all([page.live(), envelopes.live()]);
  await edge.publish('t', 'a\r\nb\rc\n\nd');
  await edge.publish('t', Buffer.from([0, 255, 10]), {
    contentType: 'application/octet-stream',
    type: 'raw',
  });
  await edge.publish('t', '{"a":1}', { contentType: 'application/json', type: 'error' });
  const [text, json] = await page.has(2);
  assert.deepEqual([text, json], ['a\nb\nc\n\nd', '{"a":1}']);
  const events = (await envelopes.has(3)).map((data) => JSON.parse(data));
  assert.equal(events[0].data, 'a\r\nb\rc\n\nd');
  assert.equal(events[1].data_base64, 'AP8K');
  assert.deepEqual([events[2].type, events[2].data, events[2].subject], ['error', { a: 1 }, 't']);
  assert.equal(events[2].pushfleetcursor, envelopes.received.at(-1)?.id);
  page.close();
  envelopes.close();
});
