import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Deletion, defaultNamespace, parseCursor, parseTopic, type Stored } from '@pushfleet/core';
import { createHubs } from '@pushfleet/hub';
import { answerForHubs, type TopicPolicy } from '@pushfleet/runtime';
import type { ArchiveOptions } from '../archive/archive.ts';
import { startHttp, token } from '../testing.ts';

type Api = Awaited<ReturnType<typeof startHttp>>;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of many shapes
  readonly body: any;
}

const manager = { pushfleet: { publish: ['#'], subscribe: ['#'], manage: ['#'] } };

async function ask(
  api: Api,
  method: string,
  path: string,
  claims: object | undefined = manager,
): Promise<Answer> {
  const response = await fetch(`${api.url}/v1/topics${path}`, {
    method,
    headers: { authorization: `Bearer ${token(claims)}` },
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

async function publish(api: Api, topic: string, ids: readonly string[], retain = false): Promise<Stored[]> {
  const drafts = ids.map((id) => ({
    ...{ id, source: 's', topic: parseTopic(topic), contentType: 'text/plain', retain },
    payload: Buffer.from(id),
  }));
  return (await api.backbone.bus(defaultNamespace).publish(drafts)) as Stored[];
}

async function idsOf(api: Api, topic: string, after?: string): Promise<string[]> {
  const query = `?topic=${encodeURIComponent(topic)}${after === undefined ? '' : `&after=${after}`}`;
  const response = await fetch(`${api.url}/v1/history${query}`, {
    headers: { authorization: `Bearer ${token()}` },
  });
  const { publications, gap } = (await response.json()) as { publications: { id: string }[]; gap?: object };
  assert.equal(gap, undefined);
  return publications.map(({ id }) => id);
}

/** A fleet of one instance whose hubs are in this process. */
function fleetOf(answers: Map<string, (question: unknown) => unknown> = new Map()) {
  const questions: [name: string, question: unknown][] = [];
  const self = { instance: 'self', service: 'edge-sse', protocol: 'sse' };
  const fleet = {
    answer: (name: string, on: (question: unknown) => unknown) => void answers.set(name, on),
    async ask<T>(name: string, question: unknown) {
      questions.push([name, question]);
      const answer = answers.get(name)?.(JSON.parse(JSON.stringify(question))) as T | undefined;
      return answer === undefined ? [] : [{ from: self, answer }];
    },
  };
  return { fleet: fleet as ArchiveOptions['fleet'] & Pick<typeof fleet, 'answer'>, questions };
}

suite('DELETE /v1/topics/<topic>', () => {
  test('takes everything of the topic out of the log and of the fleet, and no gap is told', async (t) => {
    const { fleet, questions } = fleetOf();
    const api = await startHttp({ stored: { fleet } });
    t.after(() => api.stop());
    const [begin] = await publish(api, 'a/b', ['0']);
    await publish(api, 'a/b', ['1', '2']);
    await publish(api, 'a', ['3']);
    await publish(api, 'a/b', ['4'], true);
    const { status, headers, body } = await ask(api, 'DELETE', '/a/b');
    assert.deepEqual([status, body], [200, { deleted: 4 }]);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.deepEqual(await idsOf(api, '#'), ['3']);
    assert.deepEqual(await idsOf(api, '#', begin?.cursor), ['3']);
    assert.equal((await ask(api, 'GET', '/a/b')).body.retained, null);
    const [[name, question]] = questions as [[string, { namespace: string; deletion: Deletion }]];
    const { topic, count, shard } = question.deletion;
    assert.deepEqual([name, question.namespace, topic, count, shard], ['deleted', 'default', 'a/b', 4, 0]);
    assert.deepEqual((await ask(api, 'DELETE', '/a/b')).body, { deleted: 0 });
    await publish(api, 'a/b', ['5']);
    assert.deepEqual(await idsOf(api, 'a/b'), ['5']);
  });

  test('takes out the one publication that a cursor names', async (t) => {
    const { fleet, questions } = fleetOf();
    const api = await startHttp({ stored: { fleet }, shards: 3 });
    t.after(() => api.stop());
    const stored = await publish(api, 'a', ['1', '2', '3']);
    await publish(api, 'b', ['4']);
    const cursor = stored[1]?.cursor;
    assert.deepEqual((await ask(api, 'DELETE', `/a?cursor=${cursor}`)).body, { deleted: 1 });
    assert.deepEqual((await idsOf(api, '#')).toSorted(), ['1', '3', '4']);
    assert.equal(questions.length, 1);
    const again = await ask(api, 'DELETE', `/a?cursor=${cursor}`);
    assert.deepEqual([again.status, again.body.code], [404, 'not_found']);
    assert.equal((await ask(api, 'DELETE', `/b?cursor=${stored[0]?.cursor}`)).status, 404);
    assert.deepEqual((await idsOf(api, '#')).toSorted(), ['1', '3', '4']);
    // Also by the cursor that a page of history gave it.
    const page = await fetch(`${api.url}/v1/history?topic=a`, {
      headers: { authorization: `Bearer ${token()}` },
    });
    const [first] = ((await page.json()) as { publications: { pushfleetcursor: string }[] }).publications;
    assert.deepEqual((await ask(api, 'DELETE', `/a?cursor=${first?.pushfleetcursor}`)).body, { deleted: 1 });
    assert.deepEqual(await idsOf(api, 'a'), ['3']);
  });

  test('the same id again within the duplicate window is a duplicate, and not stored', async (t) => {
    const api = await startHttp({});
    t.after(() => api.stop());
    const post = () =>
      fetch(`${api.url}/v1/topics/a`, {
        method: 'POST',
        body: 'x',
        headers: { authorization: `Bearer ${token()}`, 'idempotency-key': 'once' },
      });
    assert.equal((await post()).status, 201);
    await ask(api, 'DELETE', '/a');
    const { duplicate } = (await (await post()).json()) as { duplicate: boolean };
    assert.equal(duplicate, true);
    assert.deepEqual(await idsOf(api, 'a'), []);
  });

  const refused: readonly (readonly [path: string, status: number, code: string])[] = [
    ['', 400, 'topic_invalid'],
    ['/', 400, 'topic_invalid'],
    ['/a/%23', 400, 'topic_invalid'],
    ['/a?topic=a', 400, 'request_invalid'],
    ['/a?cursor=', 400, 'cursor_invalid'],
    ['/a?cursor=nonsense', 400, 'cursor_invalid'],
    ['/a?cursor=m1-1-1&cursor=m1-1-1', 400, 'request_invalid'],
    ['/a?curser=m1-1-1', 400, 'request_invalid'],
    ['/$presence/a', 403, 'forbidden'],
    ['/a?cursor=m1-1-99', 404, 'not_found'],
  ];
  for (const [path, status, code] of refused) {
    test(`${path || 'no topic'} is refused with ${status} ${code}, and nothing is deleted`, async (t) => {
      const api = await startHttp();
      t.after(() => api.stop());
      await publish(api, 'a', ['1']);
      const answer = await ask(api, 'DELETE', path);
      assert.deepEqual([answer.status, answer.body.code], [status, code]);
      assert.deepEqual(await idsOf(api, '#'), ['1']);
    });
  }

  test('needs a token that may manage the topic', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    await publish(api, 'a', ['1']);
    assert.equal((await fetch(`${api.url}/v1/topics/a`, { method: 'DELETE' })).status, 401);
    for (const manage of [[], ['b'], ['a/+']]) {
      const { status } = await ask(api, 'DELETE', '/a', {
        pushfleet: { publish: ['#'], subscribe: ['#'], manage },
      });
      assert.equal(status, 403);
    }
    assert.deepEqual((await ask(api, 'DELETE', '/a', { ...manager, ns: 'other' })).body, { deleted: 0 });
    assert.deepEqual(await idsOf(api, 'a'), ['1']);
    assert.equal((await ask(api, 'DELETE', '?topic=a', { pushfleet: { manage: ['a'] } })).status, 200);
  });
});

suite('GET /v1/topics/<topic> with a token', () => {
  const policy: TopicPolicy = {
    retentionMs: 90_000,
    maxBytes: 512,
    rate: 2.5,
    history: true,
    presence: false,
  };

  test('shows policy, feeds and the retained publication', async (t) => {
    const { fleet } = fleetOf();
    const api = await startHttp({ stored: { fleet, policies: { of: () => policy } }, shards: 3 });
    t.after(() => api.stop());
    const hubs = createHubs(api.backbone);
    answerForHubs(fleet, hubs);
    t.after(() => hubs.close());
    const feed = hubs
      .of(defaultNamespace)
      .open({ overflow: 'close', count: 10, bytes: 10_000, onReadable() {}, onClose() {} });
    await feed.add(['a/#' as never, 'a/b' as never], { retained: false });
    const [stored] = await publish(api, 'a/b', ['kept'], true);
    await publish(api, 'a/b', ['later']);
    const { status, headers, body } = await ask(api, 'GET', '/a/b');
    assert.equal(status, 200);
    assert.match(headers.get('link') ?? '', /rel="self"/);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.deepEqual(body.policy, {
      retention: 90,
      maxBytes: 512,
      rate: 2.5,
      history: true,
      presence: false,
    });
    assert.deepEqual(body.feeds, { sse: 1 });
    const { id, time, cursor } = body.retained;
    assert.equal(id, 'kept');
    assert.equal(Date.parse(time), parseCursor(cursor).time);
    assert.equal(cursor, stored?.cursor);
    assert.equal(body.channels.length > 0, true);
  });

  test('is discovery alone without a token, or with one that may neither manage nor subscribe', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    const plain = (await (await fetch(`${api.url}/v1/topics/a`)).json()) as object;
    assert.deepEqual(Object.keys(plain), ['topic', 'self', 'channels']);
    const { status, headers, body } = await ask(api, 'GET', '/a', { pushfleet: { publish: ['#'] } });
    assert.deepEqual([status, body], [200, plain]);
    assert.equal(headers.get('vary'), 'Authorization');
    for (const pushfleet of [{ subscribe: ['a'] }, { manage: ['a'] }]) {
      assert.deepEqual((await ask(api, 'GET', '/a', { pushfleet })).body.feeds, {});
    }
  });

  test('a token that is not valid is refused', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    const { status } = await fetch(`${api.url}/v1/topics/a`, { headers: { authorization: 'Bearer x' } });
    assert.equal(status, 401);
  });
});

suite('the hub of a public topic', () => {
  const hubOf = async (api: Api, path: string, o: RequestInit = {}) => {
    const { headers } = await fetch(`${api.url}/v1/topics${path}`, o);
    return headers.get('link');
  };
  const bearer = (claims: object) => ({ headers: { authorization: `Bearer ${token(claims)}` } });

  test('is told by Link to whoever may subscribe there, by GET and HEAD', async () => {
    const api = await startHttp({
      publicIn: (topic) => (topic === 'news/today' ? defaultNamespace : undefined),
    });
    try {
      const self = '</v1/topics?topic=news%2Ftoday>; rel="self"';
      const both = `</websub>; rel="hub", ${self}`;
      for (const method of ['GET', 'HEAD']) {
        assert.equal(await hubOf(api, '/news/today', { method }), both);
        assert.equal(await hubOf(api, '?topic=news%2Ftoday', { method }), both);
      }
      assert.equal(await hubOf(api, '/news/today', bearer(manager)), both);
      assert.equal(await hubOf(api, '/news/today', bearer({ ...manager, ns: 'other' })), self);
      assert.doesNotMatch((await hubOf(api, '/orders')) ?? '', /hub/);
    } finally {
      await api.stop();
    }
  });
});
