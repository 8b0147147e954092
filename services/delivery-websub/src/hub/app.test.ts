import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Appointment } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { defaultNamespace, PushfleetError, parseTopic } from '@pushfleet/core';
import type { Attempt, DeliveryControl, SubscriptionRef } from '@pushfleet/delivery';
import { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog, HttpServer, type Policies, RateLimit } from '@pushfleet/runtime';
import fc from 'fast-check';
import { createConsent } from '../consent.ts';
import { decodeDue, fetchAt, Notices } from '../feeds/notices.ts';
import { webSubOf } from '../subscriber.ts';
import { ask, type HubAnswer } from '../testing.ts';
import { createApp } from './app.ts';
import { readForm } from './form.ts';
import { Subscribing } from './subscribing.ts';
import { TopicUrls } from './topic-urls.ts';

const origin = 'https://push.example.com';
const feed = { namespace: defaultNamespace, topic: parseTopic('blog'), url: 'https://blog.example/feed' };
const hidden = { ...feed, topic: parseTopic('drafts'), url: 'https://blog.example/drafts' };
const policies: Pick<Policies, 'of' | 'publicIn' | 'feedAt'> = {
  of: (_, topic) => ({ history: true, presence: true, ...(topic !== hidden.topic && { public: true }) }),
  publicIn: (topic) => (topic === 'news' ? defaultNamespace : undefined),
  feedAt: (url) => [feed, hidden].find((one) => one.url === url),
};
const form = (more: Record<string, string> = {}): Record<string, string> => ({
  'hub.mode': 'subscribe',
  'hub.topic': `${origin}/v1/topics?topic=news`,
  'hub.callback': 'https://reader.example/callback',
  ...more,
});

interface Rates {
  readonly address?: number;
  readonly host?: number;
}

/** A hub over a registry of one Map. */
async function hub(
  t: TestContext,
  o: Rates & { attempt?: Promise<Partial<Attempt>>; conflicts?: number } = {},
) {
  const records = new Map<string, Subscription>();
  const asked: string[] = [];
  const due: Appointment[] = [];
  let { conflicts = 0 } = o;
  let revision = 0n;
  let waiting = 0;
  const store = (record: Subscription): Subscription => {
    if (conflicts-- > 0) throw new PushfleetError('conflict', 'somebody was first');
    records.set(record.id, { ...record, revision: ++revision });
    return record;
  };
  const control: Pick<DeliveryControl, 'ask' | 'call' | 'forget'> = {
    ask: async (_, question) => void asked.push(question),
    call: async () => {
      waiting++;
      return (await o.attempt) as Attempt | undefined;
    },
    forget: async () => undefined,
  };
  const subscribing = new Subscribing({
    registry: {
      read: async ([ref]) => ({ found: [records.get((ref as SubscriptionRef).id) ?? []].flat(), sealed: [] }),
      create: async (record) => store(record),
      change: async (record) => store(record),
      end: async ({ id }) => void records.delete(id),
    },
    control,
    consent: createConsent(60_000),
    topicUrls: new TopicUrls({ origin, policies }),
    checkUrl: () => undefined,
    wrongWith: () => undefined,
    lease: { usualMs: 100_000, leastMs: 10_000, mostMs: 200_000 },
    ...{ signature: 'sha256', hostLimit: 10, pendingMs: 60_000, syncMs: 1_000, syncMost: 1 },
  });
  const rate = (burst = 1_000): RateLimit => new RateLimit({ perSecond: 0.001, burst });
  const log = createLog({ name: 'test', level: 'silent' });
  const server = new HttpServer({
    address: { host: '127.0.0.1', port: 0 },
    handler: createApp({
      ...{ subscribing, log, rates: { address: rate(o.address), host: rate(o.host) } },
      notices: new Notices({ later: async (all) => void due.push(...all) }, policies),
    }),
    ...{ log, headerBytes: 16_384, requestMs: 15_000 },
  });
  await server.start();
  t.after(() => server.close());
  const post = (more?: Record<string, string>): Promise<HubAnswer> =>
    ask(`http://127.0.0.1:${server.port}/websub`, form(more));
  const requests = () => [...records.values()].flatMap((record) => webSubOf(record).requests);
  const notify = (...urls: string[]): Promise<HubAnswer> =>
    ask(`http://127.0.0.1:${server.port}/websub`, [
      ['hub.mode', 'publish'],
      ...urls.map((url): [string, string] => ['hub.url', url]),
    ]);
  return { post, notify, requests, asked, due, waiting: () => waiting };
}

describe('limits of strangers', () => {
  test('by the address that connects', async (t) => {
    const { post } = await hub(t, { address: 2 });
    const codes = [];
    for (let i = 0; i < 3; i++) codes.push((await post({ 'hub.callback': `https://r${i}.example/` })).status);
    assert.deepEqual(codes, [202, 202, 429]);
  });

  test('by the host that is to be called', async (t) => {
    const { post } = await hub(t, { host: 1 });
    const codes = [];
    for (const host of ['a', 'a', 'b'])
      codes.push((await post({ 'hub.callback': `https://${host}.example/` })).status);
    assert.deepEqual(codes, [202, 429, 202]);
  });

  test('eight requests wait for one subscriber, and no more', async (t) => {
    const { post, requests, asked } = await hub(t);
    for (let i = 0; i < 8; i++) assert.equal((await post()).status, 202);
    const answer = await post();
    assert.deepEqual([answer.status, answer.type], [429, 'text/plain; charset=utf-8']);
    assert.deepEqual(
      asked,
      requests().map(({ id }) => id),
    );
  });

  test('one that waits for its verification leaves no room for another where there is room for one', async (t) => {
    const attempt = Promise.withResolvers<Partial<Attempt>>();
    const { post, waiting } = await hub(t, { attempt: attempt.promise });
    const first = post({ 'hub.verify': 'sync' });
    await until(() => waiting() === 1, 'the first to wait');
    assert.equal((await post({ 'hub.verify': 'sync' })).status, 429);
    assert.equal((await post({ 'hub.verify': 'async' })).status, 202);
    attempt.resolve({ verdict: 'delivered' });
    assert.equal((await first).status, 204);
    assert.equal((await post({ 'hub.verify': 'sync' })).status, 204);
  });
});

describe('a notice of new content', () => {
  const urls = (count: number) => Array.from({ length: count }, () => feed.url);

  test('has a declared feed fetched at once, however often it is named', async (t) => {
    const { notify, due } = await hub(t);
    const before = Date.now();
    const { status, text } = await notify(feed.url, hidden.url, ...urls(20));
    assert.deepEqual([status, text], [204, '']);
    assert.deepEqual(
      due.map(({ body }) => decodeDue(body)),
      [feed, hidden].map(({ url }) => ({ url, attempts: 0 })),
    );
    assert.ok(
      due.every(
        ({ at, slot, key }) =>
          at >= before && at <= Date.now() && slot < 8 && /^[\w-]{22}\/notice$/.test(key),
      ),
    );
  });

  test('of a URL that is no feed is refused in plain text, and nothing is fetched', async (t) => {
    const { notify, due } = await hub(t);
    const guarded = 'https://user:password@blog.example/';
    for (const url of ['https://blog.example/other', `${feed.url}#x`, `${feed.url}?x`, origin, guarded]) {
      const { status, type, text } = await notify(feed.url, url);
      assert.deepEqual([status, type], [403, 'text/plain; charset=utf-8']);
      assert.match(text, /is no feed of this hub/);
      assert.doesNotMatch(text, /password/);
    }
    assert.deepEqual(due, []);
  });

  test('is not put off by the retry of a fetch that failed meanwhile', async (t) => {
    const { notify, due } = await hub(t);
    await notify(feed.url);
    await fetchAt({ later: async (all) => void due.push(...all) }, { url: feed.url, attempts: 1 }, 1);
    const [notice, retry] = due;
    assert.equal(notice?.slot, retry?.slot);
    assert.notEqual(notice?.key, retry?.key, 'of one key the newer would replace the older');
  });

  test('names one to a hundred URLs', async (t) => {
    const { notify, due } = await hub(t);
    const different = (count: number) => Array.from({ length: count }, (_, i) => `https://b.example/${i}`);
    assert.equal((await notify()).status, 400);
    assert.equal((await notify(...different(100))).status, 403);
    assert.equal((await notify(...different(101))).status, 400);
    assert.equal(due.length, 0);
  });

  test('is bounded by the host of the feeds, counted once however many they are', async (t) => {
    const { notify } = await hub(t, { host: 2 });
    const codes = [];
    for (let i = 0; i < 3; i++) codes.push((await notify(feed.url, hidden.url)).status);
    assert.deepEqual(codes, [204, 204, 429]);
  });
});

test('a lease has its bounds, and none asked for is the usual', async (t) => {
  const { post, requests } = await hub(t);
  for (const asked of [undefined, '', '0', '9', '150', '201', '999999999999999'])
    await post(asked === undefined ? {} : { 'hub.lease_seconds': asked });
  assert.deepEqual(
    requests().map(({ leaseSeconds }) => leaseSeconds),
    [100, 100, 10, 10, 150, 200, 200],
  );
});

test('a request is written down also where others write at the same moment, up to a point', async (t) => {
  assert.equal((await (await hub(t, { conflicts: 7 })).post()).status, 202);
  const { post, asked } = await hub(t, { conflicts: 8 });
  assert.equal((await post()).status, 409);
  assert.deepEqual(asked, [], 'nobody is asked about what is not on record');
});

test('a callback of 2,048 bytes is taken, one more is not, nor a host of 250', async (t) => {
  const { post } = await hub(t);
  const callback = (bytes: number) => 'https://a.example/'.padEnd(bytes, 'x');
  assert.equal((await post({ 'hub.callback': callback(2_048) })).status, 202);
  assert.equal((await post({ 'hub.callback': callback(2_049) })).status, 400);
  assert.equal((await post({ 'hub.callback': `https://${'a.'.repeat(122)}long.b/` })).status, 400);
});

describe('a topic URL', () => {
  const all: typeof policies = { ...policies, publicIn: () => defaultNamespace };
  const topicOfUrl = (url: string, of = origin) =>
    new TopicUrls({ origin: of, policies: all }).find(url).topic;

  test('may be that of a feed whose topic is public', () => {
    const urls = new TopicUrls({ origin, policies });
    assert.deepEqual(urls.find(feed.url), feed);
    assert.throws(() => urls.find(hidden.url), { code: 'forbidden' });
    assert.throws(() => urls.find(`${feed.url}/`), { code: 'request_invalid' });
  });

  test('of a subscription holds while it leads to the same topic in public', () => {
    const urls = new TopicUrls({ origin: 'https://moved.example', policies });
    const holds = (topicUrl: string, filter: string, namespace = 'default') =>
      urls.holds(
        Subscription.fromPartial({ namespace, filter, target: { $case: 'websub', websub: { topicUrl } } }),
      );
    assert.ok(holds(feed.url, 'blog'));
    assert.ok(!holds(feed.url, 'other'), 'the feed is published elsewhere');
    assert.ok(!holds(feed.url, 'blog', 'elsewhere'));
    assert.ok(!holds(hidden.url, 'drafts'));
    assert.ok(!holds('https://blog.example/ended', 'news'), 'no feed any more');
    assert.ok(holds(`${origin}/v1/topics/news`, 'news'), 'whatever the origin was then');
    assert.ok(!holds(`${origin}/v1/topics/orders`, 'orders'));
  });

  test('names a topic in both forms of discovery', () => {
    assert.equal(topicOfUrl(`${origin}/v1/topics?topic=news%2Ftoday`, origin), 'news/today');
    assert.equal(topicOfUrl(`${origin}/v1/topics/news/today`, origin), 'news/today');
    assert.equal(topicOfUrl(`${origin.toUpperCase()}:443/v1/topics/a%20b/`, origin), 'a b/');
  });

  for (const path of [
    '/v1/topics',
    '/v1/topics/',
    '/v1/topics?topic=',
    '/v1/topics?topic=a&topic=b',
    '/v1/topics?topic=a&cursor=b',
    '/v1/topics/a?cursor=b',
    '/v1/topics/a#b',
    '/v1/topicsX/a',
    '/v1/topics/a+b/%23',
    '/v1/topics/%2B',
    '/v1/topics/%00',
    '/v1/history?topic=a',
    '',
  ]) {
    test(`is not ${JSON.stringify(path)}`, () => {
      assert.throws(() => topicOfUrl(origin + path, origin), { code: /^(request|topic)_invalid$/ });
    });
  }

  test('is of this fleet', () => {
    for (const other of [
      'http://push.example.com',
      'https://push.example.com:8443',
      'https://x@push.example.com.evil',
      'javascript:',
      '',
    ])
      assert.throws(() => topicOfUrl(`${other}/v1/topics/a`, origin), { code: 'request_invalid' });
  });
});

test('whatever a form is, it is read or refused', () => {
  const pair = fc.tuple(
    fc.constantFrom(
      'hub.mode',
      'hub.topic',
      'hub.callback',
      'hub.secret',
      'hub.lease_seconds',
      'hub.verify',
      'hub.url',
    ),
    fc.oneof(fc.string(), fc.constantFrom('subscribe', 'unsubscribe', 'publish', '1', 'sync')),
  );
  const refusesOrReturns = (body: Buffer): void => {
    try {
      readForm(body);
    } catch (error) {
      assert.ok(error instanceof PushfleetError);
    }
  };
  fc.assert(
    fc.property(fc.array(pair), (pairs) => refusesOrReturns(Buffer.from(String(new URLSearchParams(pairs))))),
  );
  fc.assert(fc.property(fc.uint8Array(), (bytes) => refusesOrReturns(Buffer.from(bytes))));
});
