import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { defaultNamespace, formatCursor, type Namespace, parseTopic } from '@pushfleet/core';
import { Budget } from '@pushfleet/intake';
import { log, startHttp, timeoutByHand, token } from '../testing.ts';

type Api = Awaited<ReturnType<typeof startHttp>>;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of many shapes
  readonly body: any;
}

async function get(api: Api, query: string, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${api.url}/v1/history${query}`, {
    headers: { authorization: `Bearer ${token()}`, ...headers },
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

async function publish(api: Api, topic: string, ids: readonly string[], payload = '"x"'): Promise<void> {
  const drafts = ids.map((id) => ({
    ...{ id, source: 's', topic: parseTopic(topic) },
    contentType: 'application/json',
    payload: Buffer.from(payload),
  }));
  await api.backbone.bus(defaultNamespace).publish(drafts);
}

// biome-ignore lint/suspicious/noExplicitAny: as above
const idsOf = (publications: any[]): string[] => publications.map(({ id }) => id);

suite('GET /v1/history', () => {
  let api: Api;
  before(async () => {
    api = await startHttp();
    await publish(api, 'a/b', ['1', '2', '3']);
    await publish(api, 'c', ['4'], '12345678901234567890');
  });
  after(() => api.stop());

  test('gives CloudEvents with a cursor each, from the oldest', async () => {
    const { status, headers, body } = await get(api, '?topic=%23');
    assert.equal(status, 200);
    assert.equal(headers.get('content-type'), 'application/json');
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.deepEqual(idsOf(body.publications), ['1', '2', '3', '4']);
    const [first] = body.publications;
    assert.equal(first.specversion, '1.0');
    assert.equal(first.subject, 'a/b');
    assert.equal(first.data, 'x');
    assert.match(first.pushfleetcursor, /^m1-/);
    assert.deepEqual([body.more, body.gap, headers.get('link')], [false, undefined, null]);
    assert.equal(headers.get('pushfleet-cursor'), body.cursor);
    assert.equal(headers.get('pushfleet-more'), 'false');
  });

  test('a number too long for JavaScript comes as it was published', async () => {
    const response = await fetch(`${api.url}/v1/history?topic=c`, {
      headers: { authorization: `Bearer ${token()}` },
    });
    assert.match(await response.text(), /"data":12345678901234567890[,}]/);
  });

  test('the link leads through all pages, and every cursor goes on behind its publication', async () => {
    let target = '?topic=a/%2B&topic=c&limit=1';
    const ids: string[] = [];
    for (;;) {
      const { body, headers } = await get(api, target);
      ids.push(...idsOf(body.publications));
      const next = /^<\/v1\/history(\?[^>]+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1];
      assert.equal(next !== undefined, body.more);
      if (next === undefined) break;
      target = next;
    }
    assert.deepEqual(ids, ['1', '2', '3', '4']);
    const { body } = await get(api, '?topic=%23&limit=2');
    const [one, two] = body.publications.map((event: { pushfleetcursor: string }) => event.pushfleetcursor);
    assert.deepEqual(idsOf((await get(api, `?topic=%23&after=${one}`)).body.publications), ['2', '3', '4']);
    assert.deepEqual(idsOf((await get(api, `?topic=%23&after=${two}`)).body.publications), ['3', '4']);
  });

  test('a link too long for a header is left out, and the cursor stays', async () => {
    const longTopics = Array.from({ length: 8 }, (_, n) => `topic=${'x'.repeat(600)}${n}`);
    const { status, headers, body } = await get(api, `?topic=a/b&limit=1&${longTopics.join('&')}`);
    assert.deepEqual([status, body.more, headers.get('link')], [200, true, null]);
    assert.equal(headers.get('pushfleet-cursor'), body.cursor);
  });

  test('at the head a page is empty, and its cursor brings what comes', async () => {
    const { cursor } = (await get(api, '?topic=%23')).body;
    const empty = (await get(api, `?topic=%23&after=${cursor}`)).body;
    assert.deepEqual([empty.publications, empty.more], [[], false]);
    await publish(api, 'later', ['5']);
    assert.deepEqual(idsOf((await get(api, `?topic=%23&after=${empty.cursor}`)).body.publications), ['5']);
  });

  test('a batch of CloudEvents for who asks for it, with the rest in headers', async () => {
    for (const accept of [
      'application/cloudevents-batch+json',
      'application/json;q=0.5, Application/CloudEvents-Batch+JSON',
    ]) {
      const { headers, body } = await get(api, '?topic=a/b&limit=2', { accept });
      assert.match(headers.get('content-type') ?? '', /^application\/cloudevents-batch\+json/);
      assert.deepEqual(idsOf(body), ['1', '2']);
      assert.equal(headers.get('pushfleet-cursor'), body[1].pushfleetcursor);
      assert.equal(headers.get('pushfleet-more'), 'true');
      assert.match(headers.get('link') ?? '', /rel="next"/);
    }
    for (const accept of ['*/*', 'application/cloudevents-batch+json;q=0', 'text/html']) {
      const { headers } = await get(api, '?topic=a/b', { accept });
      assert.equal(headers.get('content-type'), 'application/json');
    }
  });

  test('since a time: what was stored then or later', async () => {
    const all = (await get(api, '?topic=a/b')).body.publications;
    const { time } = all[2];
    const { body } = await get(api, `?topic=a/b&since=${time}`);
    assert.deepEqual(
      idsOf(body.publications),
      idsOf(all.filter((event: { time: string }) => event.time >= time)),
    );
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().replace('Z', '+00:00');
    assert.deepEqual((await get(api, `?topic=a/b&since=${tomorrow}`)).body.publications, []);
    assert.equal((await get(api, '?topic=a/b&since=1970-01-01t00:00:00z')).body.publications.length, 3);
  });

  const refused: readonly (readonly [query: string, status: number, code: string])[] = [
    ['', 400, 'filter_invalid'],
    ['?topic=', 400, 'filter_invalid'],
    ['?topic=a/%23/b', 400, 'filter_invalid'],
    ['?topic=a%00', 400, 'filter_invalid'],
    ['?topic=a%F', 400, 'request_invalid'],
    ['?topic=%ff', 400, 'request_invalid'],
    [`?${Array.from({ length: 101 }, (_, n) => `topic=t${n}`).join('&')}`, 400, 'too_many_filters'],
    ['?topic=a&after=nonsense', 400, 'cursor_invalid'],
    ['?topic=a&after=m1-1-1&after=m1-1-2', 400, 'request_invalid'],
    ['?topic=a&after=m1-1-1&since=2026-01-01T00:00:00Z', 400, 'request_invalid'],
    ['?topic=a&since=yesterday', 400, 'request_invalid'],
    ['?topic=a&since=2026-01-01', 400, 'request_invalid'],
    ['?topic=a&since=2026-13-01T00:00:00Z', 400, 'request_invalid'],
    ['?topic=a&since=1969-12-31T23:59:59Z', 400, 'request_invalid'],
    ['?topic=a&limit=0', 400, 'request_invalid'],
    ['?topic=a&limit=1001', 400, 'request_invalid'],
    ['?topic=a&limit=-1', 400, 'request_invalid'],
    ['?topic=a&limit=1.5', 400, 'request_invalid'],
    ['?topic=a&limit=many', 400, 'request_invalid'],
    ['?topic=a&curser=x', 400, 'request_invalid'],
  ];
  for (const [query, status, code] of refused) {
    test(`${query.slice(0, 60)} is refused with ${status} ${code}`, async () => {
      const answer = await get(api, query);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.equal(answer.headers.get('content-type'), 'application/problem+json');
      assert.equal(answer.body.code, code);
      assert.ok(answer.body.detail.length > 20);
    });
  }

  test('the largest page that may be asked for is given', async () => {
    assert.equal((await get(api, '?topic=a&limit=1000')).status, 200);
  });

  test('needs a token that may subscribe to every filter', async () => {
    const none = await fetch(`${api.url}/v1/history?topic=a`);
    assert.equal(none.status, 401);
    await none.body?.cancel();
    const narrow = { authorization: `Bearer ${token({ pushfleet: { subscribe: ['a/#'], manage: ['#'] } })}` };
    assert.equal((await get(api, '?topic=a/b', narrow)).status, 200);
    for (const query of ['?topic=%23', '?topic=a/b&topic=c', '?topic=%2B/b']) {
      const { status, body } = await get(api, query, narrow);
      assert.deepEqual([status, body.code], [403, 'forbidden']);
    }
  });

  test('another namespace has another history', async () => {
    const other = { authorization: `Bearer ${token({ ns: 'other' })}` };
    assert.deepEqual((await get(api, '?topic=%23', other)).body.publications, []);
  });

  test('other methods are refused, and HEAD has no body', async () => {
    const post = await fetch(`${api.url}/v1/history?topic=a`, { method: 'POST' });
    assert.deepEqual([post.status, post.headers.get('allow')?.includes('GET')], [405, true]);
    await post.body?.cancel();
    const head = await fetch(`${api.url}/v1/history?topic=a`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${token()}` },
    });
    assert.deepEqual([head.status, await head.text()], [200, '']);
  });
});

suite('pages of history', () => {
  test('wait for slow readers only up to a limit, and give the room back', async (t) => {
    const outgoing = new Budget(1_000);
    const api = await startHttp({ outgoing });
    t.after(() => api.stop());
    await publish(api, 'a', ['1', '2', '3', '4', '5']);
    const { status, body, headers } = await get(api, '?topic=a');
    assert.deepEqual([status, body.code, headers.get('retry-after')], [503, 'unavailable', '1']);
    assert.equal((await get(api, '?topic=a&limit=1')).status, 200);
    await until(() => outgoing.held === 0, 'the room to be given back');
  });

  test('end before the publication that would pass the bytes, and have one at least', async (t) => {
    // A publication weighs 256 bytes on top of its texts and payload: "t", one digit, "s" and the payload.
    const weight = 256 + 3 + 100;
    const payload = `"${'x'.repeat(98)}"`;
    for (const [pageBytes, counts] of [
      [2 * weight - 1, [1, 1, 1]],
      [2 * weight, [2, 1]],
      [2 * weight + 1, [2, 1]],
      [10, [1, 1, 1]],
    ] as const) {
      const api = await startHttp({ stored: { pageBytes } });
      t.after(() => api.stop());
      await publish(api, 't', ['1', '2', '3'], payload);
      const found: number[] = [];
      for (let query = '?topic=t'; ; ) {
        const { body } = await get(api, query);
        found.push(body.publications.length);
        if (!body.more) break;
        query = `?topic=t&after=${body.cursor}`;
      }
      assert.deepEqual(found, counts, `${pageBytes} bytes`);
    }
  });

  test('a topic whose policy keeps no history is refused, and left out of wildcards', async (t) => {
    const of = (namespace: Namespace, topic: string) => ({
      history: !(namespace === defaultNamespace && topic.startsWith('secret')),
      presence: false,
    });
    const api = await startHttp({ stored: { policies: { of } } });
    t.after(() => api.stop());
    await publish(api, 'open', ['1']);
    await publish(api, 'secret/a', ['2', '3']);
    await publish(api, 'open', ['4']);
    await publish(api, 'secret/b', ['5']);
    const { status, body } = await get(api, '?topic=open&topic=secret/a');
    assert.deepEqual([status, body.code], [409, 'history_off']);
    assert.match(body.detail, /"secret\/a"/);
    const everything = await get(api, '?topic=%23&limit=1');
    assert.deepEqual([idsOf(everything.body.publications), everything.body.more], [['1'], true]);
    const rest = await get(api, `?topic=%23&limit=1&after=${everything.body.cursor}`);
    assert.deepEqual(idsOf(rest.body.publications), ['4']);
    const end = await get(api, `?topic=%23&after=${rest.body.cursor}`);
    assert.deepEqual([end.body.publications, end.body.more], [[], false]);
    assert.deepEqual((await get(api, '?topic=secret/%2B')).body.publications, []);
  });

  test('what has aged out is told as a gap at the head of the page', async (t) => {
    const api = await startHttp({ shards: 3 });
    t.after(() => api.stop());
    const topics = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const topic of topics) await publish(api, topic, [topic]);
    // Places of long ago, before what was taken out.
    const long = formatCursor({ generation: 'm1', positions: [0, 0, 0], time: 1 });
    for (const [shard, { last }] of api.backbone.log.shards.entries())
      api.backbone.log.purge(shard, last - 1);
    const { body, headers } = await get(api, `?topic=%23&after=${long}&limit=1`);
    assert.equal(body.gap.from, long);
    assert.equal(headers.get('pushfleet-gap'), `${body.gap.from} ${body.gap.to}`);
    const all = await get(api, `?topic=%23&after=${long}`);
    const kept = all.body.publications.length;
    assert.ok(kept > 0 && kept < topics.length);
    const behind = await get(api, `?topic=%23&after=${body.gap.to}`);
    assert.deepEqual(idsOf(behind.body.publications), idsOf(all.body.publications));
    assert.equal(behind.body.gap, undefined);
    const second = await get(api, `?topic=%23&after=${body.cursor}`);
    assert.deepEqual(idsOf(second.body.publications), idsOf(all.body.publications).slice(1));
    assert.equal((await get(api, '?topic=%23')).body.gap, undefined);
  });
});

suite('reads of the log', () => {
  /** An API whose log answers when told. */
  async function held(stored: object) {
    const api = await startHttp({ stored });
    await publish(api, 'a', ['1', '2']);
    const bus = api.backbone.bus(defaultNamespace);
    const gate = Promise.withResolvers<void>();
    const signals: AbortSignal[] = [];
    const replay = bus.replay.bind(bus);
    bus.replay = async function* (filters, from, to, signal) {
      signals.push(signal);
      await gate.promise;
      yield* replay(filters, from, to, signal);
    };
    return { api, signals, release: gate.resolve };
  }

  const as = (sub: string) => ({ authorization: `Bearer ${token({ sub })}` });

  test('are bounded for each subject and over all: one more is told to come again', async (t) => {
    const { api, signals, release } = await held({ reads: 3, readsPerSubject: 2 });
    t.after(() => api.stop());
    const running = [get(api, '?topic=a', as('ann')), get(api, '?topic=a', as('ann'))];
    await until(() => signals.length === 2, 'two reads');
    const third = await get(api, '?topic=a', as('ann'));
    assert.deepEqual([third.status, third.body.code, third.body.limit], [429, 'rate_limited', 2]);
    assert.equal(third.headers.get('retry-after'), '1');
    running.push(get(api, '?topic=a', as('bob')));
    await until(() => signals.length === 3, 'a read of another');
    assert.deepEqual((await get(api, '?topic=a', as('cid'))).body.limit, 3);
    release();
    for (const { status } of await Promise.all(running)) assert.equal(status, 200);
    assert.equal(api.archive.reads.running, 0);
    assert.equal((await get(api, '?topic=a', as('ann'))).status, 200);
  });

  test('end when the caller leaves, and nothing is logged', async (t) => {
    const { api, signals, release } = await held({});
    t.after(() => api.stop());
    const errors = t.mock.method(log, 'error', () => {});
    const leaving = new AbortController();
    const left = fetch(`${api.url}/v1/history?topic=a`, { headers: as('ann'), signal: leaving.signal });
    await until(() => signals.length === 1, 'the read');
    leaving.abort();
    await assert.rejects(left);
    await until(() => signals[0]?.aborted === true, 'the read to be given up');
    release();
    await until(() => api.archive.reads.running === 0, 'the read to end');
    assert.equal(errors.mock.callCount(), 0);
  });

  test('are given up when their time is up: 504', async (t) => {
    const { timeout, up } = timeoutByHand();
    const { api, signals, release } = await held({ timeout });
    t.after(() => api.stop());
    const asked = get(api, '?topic=a');
    await until(() => signals.length === 1, 'the read');
    up();
    release();
    const { status, body } = await asked;
    assert.deepEqual([status, body.code], [504, 'timeout']);
  });

  test('whose time is up in the middle give what they have', async (t) => {
    const { timeout, up } = timeoutByHand();
    const api = await startHttp({ stored: { timeout } });
    t.after(() => api.stop());
    await publish(api, 'a', ['1', '2']);
    const bus = api.backbone.bus(defaultNamespace);
    const replay = bus.replay.bind(bus);
    bus.replay = async function* (filters, from, to, signal) {
      for await (const items of replay(filters, from, to, signal)) {
        yield items.slice(0, 1);
        up();
      }
    };
    const partial = await get(api, '?topic=a');
    assert.equal(partial.status, 200);
    assert.deepEqual([idsOf(partial.body.publications), partial.body.more], [['1'], true]);
  });
});
