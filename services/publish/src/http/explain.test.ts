import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { defaultNamespace, parseTopic, type Stored } from '@pushfleet/core';
import type { Instance } from '@pushfleet/runtime';
import { startHttp, timeoutByHand, token } from '../testing.ts';

type Api = Awaited<ReturnType<typeof startHttp>>;

const explanation = {
  remembered: true,
  filters: [{ filter: 'a/#', feeds: 3 }],
  ...{ matched: 3, delivered: 1, pending: 1, dropped: 1 },
};
const nothing = { remembered: false, filters: [], matched: 0, delivered: 0, pending: 0, dropped: 0 };

/** A fleet of two edges, of which one remembers. */
function fleetOf() {
  const questions: unknown[] = [];
  const edge: Instance = { instance: 'edge-1', service: 'edge-sse', protocol: 'sse' };
  const ask = async <T>(name: string, question: unknown) => {
    questions.push([name, question]);
    return [
      { from: edge, answer: explanation as T },
      { from: { ...edge, instance: 'edge-2' }, answer: nothing as T },
    ];
  };
  return { fleet: { ask }, questions };
}

async function publish(api: Api, topic: string, id: string, more: object = {}): Promise<Stored> {
  const draft = {
    ...{ id, source: 's', topic: parseTopic(topic), contentType: 'text/plain', payload: Buffer.from('four') },
    ...more,
  };
  const [stored] = await api.backbone.bus(defaultNamespace).publish([draft]);
  return stored as Stored;
}

async function explain(api: Api, query: string, claims: object = { pushfleet: { manage: ['#'] } }) {
  const response = await fetch(`${api.url}/v1/explain${query}`, {
    headers: { authorization: `Bearer ${token(claims)}` },
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of many shapes
  return { status: response.status, body: (await response.json()) as any };
}

suite('GET /v1/explain', () => {
  test('tells where each publication of the id is stored, and what every instance did with it', async (t) => {
    const { fleet, questions } = fleetOf();
    const api = await startHttp({ stored: { fleet }, shards: 3 });
    t.after(() => api.stop());
    await publish(api, 'a/b', 'other');
    const stored = await publish(api, 'a/b', 'it', {
      type: 'made',
      retain: true,
      expiresAt: Date.now() + 60_000,
    });
    await publish(api, 'c', 'it');
    const { status, body } = await explain(api, '?id=it');
    assert.equal(status, 200);
    assert.equal(body.id, 'it');
    assert.deepEqual([body.search.scanned, body.search.complete], [3, true]);
    const searchedMs = Date.parse(body.search.to) - Date.parse(body.search.from);
    assert.ok(searchedMs >= 3_600_000 && searchedMs < 3_700_000);
    assert.deepEqual(
      body.publications.map(({ topic }: { topic: string }) => topic),
      ['a/b', 'c'],
    );
    const [first, second] = body.publications;
    assert.deepEqual([first.retained, first.type, first.bytes, first.source], [true, 'made', 4, 's']);
    assert.equal(first.cursor, stored.cursor);
    assert.equal(first.sequence, 2);
    assert.ok(Date.parse(first.expires) > Date.parse(first.time));
    assert.deepEqual([second.retained, second.expires, second.type], [false, null, 'pushfleet.publication']);
    assert.deepEqual(first.receivers, [
      { kind: 'feeds', instance: 'edge-1', service: 'edge-sse', protocol: 'sse', ...explanation },
      { kind: 'feeds', instance: 'edge-2', service: 'edge-sse', protocol: 'sse', ...nothing },
    ]);
    const { shard } = first;
    assert.deepEqual(questions[0], ['explain', { namespace: 'default', topic: 'a/b', shard, sequence: 2 }]);
  });

  test('searches where and since when it is told, or looks at the one that a cursor names', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    const stored = await publish(api, 'a', 'it');
    await publish(api, 'b', 'it');
    const topics = async (query: string) =>
      (await explain(api, query)).body.publications.map(({ topic }: { topic: string }) => topic);
    assert.deepEqual(await topics('?id=it&topic=b'), ['b']);
    assert.deepEqual(await topics('?id=it&topic=%2B'), ['a', 'b']);
    assert.deepEqual(await topics(`?id=it&since=${new Date(Date.now() + 1_000).toISOString()}`), []);
    assert.deepEqual(await topics(`?id=it&topic=a&cursor=${stored.cursor}`), ['a']);
    assert.deepEqual(await topics(`?id=it&topic=b&cursor=${stored.cursor}`), []);
    assert.deepEqual(await topics(`?id=another&topic=a&cursor=${stored.cursor}`), []);
    assert.deepEqual(await topics('?id=another'), []);
  });

  test('gives up after the publications it may look at, and says so', async (t) => {
    for (const [explainPublications, complete, scanned] of [
      [2, false, 2],
      [3, false, 3],
      [4, true, 3],
    ] as const) {
      const api = await startHttp({ stored: { explainPublications } });
      t.after(() => api.stop());
      for (const id of ['1', '2', '3']) await publish(api, 'a', id);
      const { body } = await explain(api, '?id=3');
      assert.deepEqual([body.search.complete, body.search.scanned], [complete, scanned]);
      assert.equal(body.publications.length, scanned === 3 ? 1 : 0);
      if (!complete) assert.ok(Date.parse(body.search.to) <= Date.now());
    }
  });

  test('explains 20 of one id, and says that there may be more', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    for (const [count, complete] of [
      [19, true],
      [20, false],
      [21, false],
    ] as const) {
      for (let n = 0; n < count; n++) await publish(api, `of ${count}/${n}`, 'it');
      const { body } = await explain(api, `?id=it&topic=${encodeURIComponent(`of ${count}/+`)}`);
      assert.deepEqual([body.publications.length, body.search.complete], [Math.min(count, 20), complete]);
    }
  });

  test('gives up when its time is up, and explains what was found', async (t) => {
    const { timeout, up } = timeoutByHand();
    const api = await startHttp({ stored: { timeout } });
    t.after(() => api.stop());
    await publish(api, 'a', 'it');
    const bus = api.backbone.bus(defaultNamespace);
    const replay = bus.replay.bind(bus);
    bus.replay = async function* (filters, from, to, signal) {
      yield* replay(filters, from, to, signal);
      up();
    };
    const { status, body } = await explain(api, '?id=it');
    assert.equal(status, 200);
    assert.deepEqual([body.search.complete, body.search.scanned, body.publications.length], [false, 1, 1]);
  });

  const refused: readonly (readonly [query: string, status: number, code: string])[] = [
    ['', 400, 'request_invalid'],
    ['?id=', 400, 'request_invalid'],
    ['?id=a&id=b', 400, 'request_invalid'],
    ['?id=a&topic=a%23', 400, 'filter_invalid'],
    ['?id=a&since=now', 400, 'request_invalid'],
    ['?id=a&topic=a&cursor=x', 400, 'cursor_invalid'],
    ['?id=a&topic=a&cursor=m1-1-1&since=2026-01-01T00:00:00Z', 400, 'request_invalid'],
    ['?id=a&cursor=m1-1-1', 400, 'request_invalid'],
    ['?id=a&limit=1', 400, 'request_invalid'],
  ];
  for (const [query, status, code] of refused) {
    test(`${query || 'no parameters'} is refused with ${status} ${code}`, async (t) => {
      const api = await startHttp();
      t.after(() => api.stop());
      const answer = await explain(api, query);
      assert.deepEqual([answer.status, answer.body.code], [status, code]);
    });
  }

  test('needs a token that may manage what is searched, and sees its own namespace', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    await publish(api, 'a', 'it');
    const narrow = { pushfleet: { manage: ['a'], subscribe: ['#'] } };
    assert.equal((await explain(api, '?id=it', narrow)).status, 403);
    assert.equal((await explain(api, '?id=it&topic=a', narrow)).body.publications.length, 1);
    const other = { ns: 'other', pushfleet: { manage: ['#'] } };
    assert.deepEqual((await explain(api, '?id=it', other)).body.publications, []);
  });
});
