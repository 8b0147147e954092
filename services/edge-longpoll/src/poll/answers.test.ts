import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { formatCursor, parseCursor } from '@pushfleet/core';

import { startEdge, type TestEdge } from '../testing.ts';
import { begin, poll } from '../testing-client.ts';

suite('what a poll is answered', () => {
  let edge: TestEdge;
  let url: string;
  let stop: () => Promise<void>;
  before(async () => {
    const keep = (given: () => Promise<void>): void => {
      stop = given;
    };
    edge = await startEdge({ after: keep });
    url = edge.url;
  });
  after(() => stop());

  test('without a cursor: at once, a place to go on from, as body and as tag', async () => {
    const { status, headers, batch, etag } = await poll(url, '?topic=first', { wait: 30 });
    assert.deepEqual([status, batch.items, etag], [200, [], `"${batch.cursor}"`]);
    parseCursor(batch.cursor);
    for (const [name, value] of [
      ['content-type', 'application/json'],
      ['cache-control', 'no-store'],
      ['vary', 'Origin, Prefer'],
      ['preference-applied', 'wait=30'],
      ['x-content-type-options', 'nosniff'],
      ['cross-origin-resource-policy', 'same-origin'],
      ['access-control-expose-headers', 'ETag, Preference-Applied, Retry-After'],
    ] as const) {
      assert.equal(headers.get(name), value);
    }
  });

  test('with one: what comes while it waits, as CloudEvents', async () => {
    const etag = await begin(url, '?topic=live/%23');
    const waiting = poll(url, '?topic=live/%23', { etag, wait: 30 });
    await until(() => edge.edge.size === 1, 'it waits');
    const { cursor } = await edge.publish('live/a', 'hello', { type: 'greeting' });
    const { status, batch, etag: next } = await waiting;
    assert.equal(status, 200);
    assert.deepEqual(
      batch.items.map(({ event }) => ({ ...event, id: '', time: '' })),
      [
        {
          ...{ specversion: '1.0', id: '', source: 'test', type: 'greeting', subject: 'live/a', time: '' },
          ...{ datacontenttype: 'text/plain', pushfleetcursor: batch.cursor, data: 'hello' },
        },
      ],
    );
    assert.equal(next, `"${batch.cursor}"`);
    assert.deepEqual(parseCursor(batch.cursor).positions, parseCursor(cursor).positions);
  });

  test('with nothing new: 204 in its time, without a body, and a tag to go on from', async () => {
    const etag = await begin(url, '?topic=quiet');
    await edge.publish('noise', 'x');
    const { status, headers, etag: next } = await poll(url, '?topic=quiet', { etag, wait: 0 });
    assert.deepEqual([status, headers.get('preference-applied')], [204, 'wait=0']);
    assert.equal(headers.get('content-type'), null);
    assert.notEqual(next, etag, 'the place moves on while nothing matches');
    const waited = await poll(url, '?topic=quiet&wait=1', { etag: next });
    assert.deepEqual([waited.status, waited.headers.get('preference-applied')], [204, null]);
  });

  test('what was published between two polls', async () => {
    const etag = await begin(url, '?topic=between');
    for (const text of ['1', '2', '3']) await edge.publish('between', text);
    assert.deepEqual((await poll(url, '?topic=between', { etag, wait: 0 })).texts, ['1', '2', '3']);
  });

  test('a lost answer loses nothing: the place moves on only by the next request', async () => {
    const etag = await begin(url, '?topic=lost');
    await edge.publish('lost', '1');
    const once = await poll(url, '?topic=lost', { etag });
    const again = await poll(url, '?topic=lost', { etag });
    assert.deepEqual([once.texts, again.texts], [['1'], ['1']]);
    await edge.publish('lost', '2');
    assert.deepEqual((await poll(url, '?topic=lost', { etag: again.etag })).texts, ['2']);
  });

  test('batches are bounded by count, and lose nothing in between', async () => {
    const etag = await begin(url, '?topic=many');
    for (let i = 0; i < 5; i++) await edge.publish('many', String(i));
    const got: (string | undefined)[][] = [];
    for (let tag = etag; got.flat().length < 5; ) {
      const { texts, etag: next } = await poll(url, '?topic=many&count=2', { etag: tag });
      got.push([...texts]);
      tag = next;
    }
    assert.deepEqual(got, [['0', '1'], ['2', '3'], ['4']]);
  });

  test('the parameter after does what the tag does, which wins over it', async () => {
    const etag = await begin(url, '?topic=after');
    const first = await edge.publish('after', '1');
    await edge.publish('after', '2');
    const by = (cursor: string) => poll(url, `?topic=after&after=${cursor}`);
    assert.deepEqual((await by(etag.slice(1, -1))).texts, ['1', '2']);
    assert.deepEqual((await by(first.cursor)).texts, ['2']);
    const both = await poll(url, `?topic=after&after=${first.cursor}`, { etag });
    assert.deepEqual(both.texts, ['1', '2']);
  });

  test('retained publications come with the first answer, marked, and never again', async () => {
    await edge.publish('state/a', 'A', { retain: true });
    await edge.publish('state/b', 'B', { retain: true });
    const { batch, etag, texts } = await poll(url, '?topic=state/%23&retained=1');
    assert.deepEqual([...texts].sort(), ['A', 'B']);
    assert.ok(batch.items.every(({ retained }) => retained === true));
    const next = await poll(url, '?topic=state/%23&retained=1', { etag, wait: 0 });
    assert.equal(next.status, 204);
    await edge.publish('state/c', 'C', { retain: true });
    const live = await poll(url, '?topic=state/%23&retained=1', { etag: next.etag });
    assert.deepEqual([live.texts, live.batch.items[0]?.retained], [['C'], undefined]);
  });

  test('a gap is told in its place, and the next poll goes on behind it', async () => {
    const { cursor } = await edge.publish('gap', 'kept');
    const lost = formatCursor({ ...parseCursor(cursor), generation: 'lost' });
    const { batch, etag } = await poll(url, '?topic=gap', { etag: `"${lost}"` });
    assert.equal(batch.items[0]?.gap?.from, lost);
    assert.equal(`"${batch.items.at(-1)?.gap?.to ?? batch.cursor}"`, etag);
    await edge.publish('gap', 'after');
    const texts = batch.items.slice(1).map(({ event }) => event?.data);
    for (let tag = etag; texts.length < 2; ) {
      const next = await poll(url, '?topic=gap', { etag: tag });
      texts.push(...next.texts);
      tag = next.etag;
    }
    assert.deepEqual(texts, ['kept', 'after']);
  });

  for (const [type, body] of [
    ['application/json', '{"topic":["body/+","other"],"wait":0}'],
    ['application/x-www-form-urlencoded', 'topic=body/%2B&topic=other&wait=0'],
  ] as const) {
    test(`a list of topics in a body of ${type}`, async () => {
      const post = (etag?: string) =>
        poll(url, '', {
          ...{ method: 'POST', body, headers: { 'content-type': type } },
          ...(etag !== undefined && { etag }),
        });
      const { etag } = await post();
      await edge.publish('body/1', type);
      await edge.publish('other', type);
      assert.deepEqual((await post(etag)).texts, [type, type]);
      assert.equal((await post(`"${(await edge.publish('other', 'x')).cursor}"`)).status, 204);
    });
  }

  test('a hundred long topics do not fit a URL: they are told to go into a body, and do', async () => {
    const topics = Array.from({ length: 100 }, (_, i) => `${'x'.repeat(500)}/${i}`);
    const long = await poll(url, `?${topics.map((topic) => `topic=${topic}`).join('&')}`);
    assert.equal(long.status, 431);
    const { status } = await poll(url, '', {
      method: 'POST',
      body: JSON.stringify({ topic: topics }),
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(status, 200);
  });

  test('HEAD and OPTIONS answer without waiting', async () => {
    const head = await poll(url, '?topic=t', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('content-type')], [200, 'application/json']);
    const options = await poll(url, '', { method: 'OPTIONS' });
    assert.deepEqual([options.status, options.headers.get('allow')], [204, 'GET, HEAD, POST, OPTIONS']);
  });

  const refused: readonly [string, number, string, RequestInit?][] = [
    ['', 400, 'request_invalid'],
    ['?topic=a/%23/b', 400, 'filter_invalid'],
    ['?topic=t&after=x', 400, 'cursor_invalid'],
    ['?topic=t', 400, 'cursor_invalid', { headers: { 'if-none-match': 'x' } }],
    ['?topic=t&wait=61', 400, 'request_invalid'],
    ['?topic=t', 401, 'unauthenticated', { headers: { authorization: 'Bearer x' } }],
    ['?topic=$presence/a', 403, 'forbidden'],
    ['?topic=t', 405, 'method_not_allowed', { method: 'DELETE' }],
    [
      '',
      415,
      'unsupported_media_type',
      { method: 'POST', body: 'topic=t', headers: { 'content-type': 'a/b' } },
    ],
  ];
  for (const [target, status, code, init] of refused) {
    test(`${init?.method ?? 'GET'} /poll${target} ${JSON.stringify(init?.headers ?? {})} is ${status} ${code}`, async () => {
      const found = await poll(url, target, init);
      assert.deepEqual([found.status, found.problem.code], [status, code]);
      assert.equal(found.headers.get('content-type'), 'application/problem+json');
      assert.equal(found.problem.instance, '/poll');
    });
  }

  test('nothing of it is left', async () => {
    await until(() => edge.edge.size === 0 && edge.hubs.stats().feeds === 0, 'no poll is left');
  });
});
