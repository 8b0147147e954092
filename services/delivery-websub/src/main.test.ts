import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connectJetStream, type JetStreamBackbone, migrate } from '@pushfleet/bus';
import {
  type NatsCluster,
  type RedisServer,
  type ServiceProcess,
  startNats,
  startRedis,
  startService,
  until,
} from '@pushfleet/contract';
import { defaultNamespace, parseTopic } from '@pushfleet/core';
import { callRegistry, type SubscriptionCalls } from '@pushfleet/delivery';
import { createLog, internalClient, internalFields, readConfig } from '@pushfleet/runtime';
import {
  ask,
  type Callback,
  confirm,
  heard,
  openFront,
  type Seen,
  Subscriber,
  signature,
  status,
  subscribe,
  unsubscribe,
} from './testing.ts';

const tokenSecret = 'a secret of the tests that is long enough';
const policies = (...topics: object[]): string => JSON.stringify({ topics });
const open = { namespace: 'default', filter: 'news/#', public: true };

describe('the hub as a process', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pushfleet-websub-'));
  const policiesFile = join(directory, 'policies.json');
  let nats: NatsCluster;
  let redis: RedisServer;
  let registry: ServiceProcess;
  let publisher: ServiceProcess;
  let worker: ServiceProcess;
  let front: Awaited<ReturnType<typeof openFront>>;
  let backbone: JetStreamBackbone;
  let calls: SubscriptionCalls & { close(): void };
  let subscriber: Subscriber;
  let hub: string;
  let count = 0;

  before(async () => {
    writeFileSync(policiesFile, policies(open));
    [nats, redis, subscriber] = await Promise.all([startNats(), startRedis(), Subscriber.start()]);
    await migrate({
      servers: nats.url,
      ...{ shards: 1, replicas: 1, maxAgeMs: 3_600_000, maxBytes: 2 ** 27, duplicateWindowMs: 120_000 },
    });
    front = await openFront({
      '/v1/topics': () => publisher.addresses.http as string,
      '/websub': () => worker.addresses.http as string,
    });
    const env = {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_REDIS_URL: redis.url,
      PUSHFLEET_TOKEN_SECRET: tokenSecret,
      PUSHFLEET_SECRETS_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
      PUSHFLEET_OUTBOUND_ALLOW: '127.0.0.1',
      PUSHFLEET_POLICIES_FILE: policiesFile,
      PUSHFLEET_PUBLIC_URL: front.url,
    };
    registry = await startService('registry', env);
    const registryUrl = `http://${registry.addresses.grpc}`;
    [publisher, worker] = await Promise.all([
      startService('publish', { ...env, PUSHFLEET_REGISTRY_URL: registryUrl }),
      startService('delivery-websub', {
        ...env,
        PUSHFLEET_REGISTRY_URL: registryUrl,
        PUSHFLEET_WEBSUB_RETRY: '1s',
        PUSHFLEET_WEBSUB_VERIFY_RETRY: '1s,1s',
        PUSHFLEET_WEBSUB_BREAKER_SECONDS: '1',
        PUSHFLEET_WEBSUB_LEASE_MIN: '2s',
        PUSHFLEET_WEBSUB_RATE: '1000',
        PUSHFLEET_WEBSUB_HOST_RATE: '1000',
      }),
    ]);
    hub = `${front.url}/websub`;
    const log = createLog({ name: 'test', level: 'silent' });
    backbone = connectJetStream({ servers: nats.url, name: 'test', log });
    await backbone.start();
    const config = readConfig(internalFields, { PUSHFLEET_TOKEN_SECRET: tokenSecret });
    calls = callRegistry(internalClient(config, { url: registryUrl, service: 'test' }), log);
  });
  after(async () => {
    calls.close();
    await backbone.close();
    await Promise.all([worker, publisher, registry].map((service) => service.kill('SIGKILL')));
    await Promise.all([subscriber.close(), front.close(), nats.stop(), redis.stop()]);
    rmSync(directory, { recursive: true });
  });

  /** A topic that no other test has, and its URL as discovery gives it. */
  const newTopic = (): { readonly topic: string; readonly url: string } => {
    const topic = `news/${++count}`;
    return { topic, url: `${front.url}/v1/topics?topic=${encodeURIComponent(topic)}` };
  };
  const publish = async (
    topic: string,
    body: string | Buffer,
    contentType = 'text/plain',
  ): Promise<string> => {
    const id = `p-${++count}`;
    const [stored] = await backbone
      .bus(defaultNamespace)
      .publish([
        { ...{ id, source: 'test', topic: parseTopic(topic), contentType }, payload: Buffer.from(body) },
      ]);
    assert.ok(stored && 'cursor' in stored, String(stored));
    return id;
  };
  /** Subscribed, verified and active: what is published from here on is delivered. */
  const subscribed = async (
    url: string,
    callback: Callback,
    more: Record<string, string> = {},
  ): Promise<void> => {
    const { active, verifications } = {
      active: await isActive(url, callback),
      verifications: callback.verifications.length,
    };
    const before = active ? await stateOf(url, callback) : undefined;
    assert.equal((await subscribe(hub, url, callback, more)).status, 202);
    await heard(() => callback.verifications, verifications + 1, 'the verification');
    await until(
      async () => {
        const now = await stateOf(url, callback);
        return now?.state === 2 && now.requests === 0 && now.revision !== before?.revision;
      },
      'the subscription',
      20_000,
    );
  };
  const recordOf = async (url: string, callback: Callback) => {
    const { shortHash } = await import('@pushfleet/delivery');
    const id = `ws_${shortHash(`${url}\0${callback.url}`)}`;
    const { found } = await calls.read([{ namespace: defaultNamespace, id }]);
    return found[0];
  };
  const stateOf = async (url: string, callback: Callback) => {
    const record = await recordOf(url, callback);
    if (record?.target?.$case !== 'websub') return undefined;
    const { revision, state } = record;
    return { revision, state, requests: record.target.websub.requests.length };
  };
  const isActive = async (url: string, callback: Callback) => (await stateOf(url, callback))?.state === 2;
  const gone = (url: string, callback: Callback): Promise<void> =>
    until(async () => (await recordOf(url, callback)) === undefined, 'the end of the subscription', 20_000);
  const texts = ({ contents }: Callback): string[] => contents.map(({ body }) => body.toString());
  /** Published to a second, plain subscriber of the topic: what it has, all that is expanded before has had its turn. */
  const passed = async (topic: string, url: string): Promise<void> => {
    const witness = subscriber.callback();
    await subscribed(url, witness);
    await publish(topic, 'to the witness');
    await heard(() => witness.contents, 1, 'the witness');
  };

  describe('the public tests of hubs', () => {
    test('100: a subscription by discovery, verified, is delivered to', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      const found = await subscriber.discover(`${front.url}/v1/topics/${topic}`);
      assert.deepEqual(found, { hub, topic: url });
      const { status: answered } = await subscribe(found.hub, found.topic, callback);
      assert.equal(answered, 202);
      await heard(() => callback.verifications, 1, 'the verification');
      const [{ query, method } = {} as Seen] = callback.verifications;
      assert.equal(method, 'GET');
      assert.equal(query.get('hub.mode'), 'subscribe');
      assert.equal(query.get('hub.topic'), url);
      assert.equal(query.get('hub.lease_seconds'), String(10 * 86_400));
      assert.match(query.get('hub.challenge') ?? '', /^[\w-]{43}$/);
      await until(() => isActive(url, callback), 'the subscription');
      const id = await publish(topic, '<p>Hello</p>', 'text/html; charset=utf-8');
      await heard(() => callback.contents, 1, 'the content');
      const [{ headers, body, target } = {} as Seen] = callback.contents;
      assert.equal(target, new URL(callback.url).pathname);
      assert.equal(headers['content-type'], 'text/html; charset=utf-8');
      assert.equal(headers.link, `<${hub}>; rel="hub", <${url}>; rel="self"`);
      assert.equal(headers['x-hub-signature'], undefined);
      assert.equal(headers['ce-id'], id);
      assert.equal(body.toString(), '<p>Hello</p>');
    });

    for (const [asked, method] of [
      [undefined, 'sha256'],
      ['sha1', 'sha1'],
      ['sha384', 'sha384'],
      ['sha512', 'sha512'],
    ] as const) {
      test(`101: with a secret, content is signed by ${method}${asked ? ', where that is asked for' : ''}`, async () => {
        const { topic, url } = newTopic();
        const callback = subscriber.callback();
        await subscribed(url, callback, {
          'hub.secret': 's3cret',
          ...(asked && { 'hub.signature_method': asked }),
        });
        await publish(topic, 'signed');
        await heard(() => callback.contents, 1, 'the content');
        const [{ headers, body } = {} as Seen] = callback.contents;
        assert.equal(headers['x-hub-signature'], signature(method, 's3cret', body));
      });
    }

    test('102: parameters that it does not know are passed over', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      await subscribed(url, callback, { 'hub.unknown': 'x', foo: 'bar', '': '', 'hub.challenge': 'mine' });
      assert.notEqual(callback.verifications[0]?.query.get('hub.challenge'), 'mine');
      await publish(topic, 'a');
      await heard(() => callback.contents, 1, 'the content');
    });

    test('103: renewed, it is verified again and is one subscription', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      await subscribed(url, callback, { 'hub.lease_seconds': '100' });
      await subscribed(url, callback, { 'hub.lease_seconds': '200' });
      const leases = callback.verifications.map(({ query }) => query.get('hub.lease_seconds'));
      assert.deepEqual(leases, ['100', '200']);
      const left = ((await recordOf(url, callback))?.expiresAt?.getTime() ?? 0) - Date.now();
      assert.ok(left > 150_000 && left <= 200_000, String(left));
      await publish(topic, 'once');
      await passed(topic, url);
      assert.deepEqual(texts(callback).slice(0, 1), ['once']);
      assert.equal(texts(callback).filter((text) => text === 'once').length, 1);
    });

    test('104: unsubscribed, it is verified and gets no more', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      await subscribed(url, callback);
      assert.equal((await unsubscribe(hub, url, callback, { 'hub.lease_seconds': 'none' })).status, 202);
      await heard(() => callback.verifications, 2, 'the verification');
      const { query } = callback.verifications[1] as Seen;
      assert.equal(query.get('hub.mode'), 'unsubscribe');
      assert.equal(query.get('hub.topic'), url);
      await gone(url, callback);
      await passed(topic, url);
      assert.deepEqual(texts(callback), []);
    });

    for (const [number, type, body] of [
      ['105', 'text/plain', 'Plain text: ä, €'],
      ['106', 'application/json', '{"items":[{"id":1}]}'],
      ['bytes', 'application/octet-stream', Buffer.from([0, 255, 10, 13, 0])],
    ] as const) {
      test(`${number}: ${type} comes as it was published`, async () => {
        const { topic, url } = newTopic();
        const callback = subscriber.callback();
        await subscribed(url, callback);
        await publish(topic, body, type);
        await heard(() => callback.contents, 1, 'the content');
        assert.equal(callback.contents[0]?.headers['content-type'], type);
        assert.deepEqual(callback.contents[0]?.body, Buffer.from(body));
      });
    }
  });

  describe('what is wrong with a request is told in plain text', () => {
    const { url } = { url: () => `${front.url}/v1/topics?topic=news%2Fx` };
    const wrong: [what: string, code: number, form: () => Record<string, string>, said: RegExp][] = [
      [
        'no mode',
        400,
        () => ({ 'hub.topic': url(), 'hub.callback': 'http://127.0.0.1:9/' }),
        /hub\.mode is missing/,
      ],
      ['another mode', 400, () => ({ 'hub.mode': 'list' }), /"subscribe" or "unsubscribe"/],
      ['publish', 400, () => ({ 'hub.mode': 'publish', 'hub.url': url() }), /no hub\.mode=publish/],
      [
        'no callback',
        400,
        () => ({ 'hub.mode': 'subscribe', 'hub.topic': url() }),
        /hub\.callback is missing/,
      ],
      [
        'no topic',
        400,
        () => ({ 'hub.mode': 'subscribe', 'hub.callback': 'http://127.0.0.1:9/' }),
        /hub\.topic is missing/,
      ],
      [
        'a callback that is no URL',
        422,
        () => ({ 'hub.mode': 'subscribe', 'hub.topic': url(), 'hub.callback': '/x' }),
        /not a URL/,
      ],
      [
        'a private callback',
        422,
        () => ({ 'hub.mode': 'subscribe', 'hub.topic': url(), 'hub.callback': 'https://10.0.0.1/' }),
        /private/,
      ],
      [
        'a fragment',
        400,
        () => ({ 'hub.mode': 'subscribe', 'hub.topic': url(), 'hub.callback': 'http://127.0.0.1:9/#a' }),
        /fragment/,
      ],
      [
        'a topic of elsewhere',
        400,
        () => ({
          'hub.mode': 'subscribe',
          'hub.topic': 'https://example.com/',
          'hub.callback': 'http://127.0.0.1:9/',
        }),
        /topic of this fleet/,
      ],
      [
        'a topic that is not public',
        403,
        () => ({
          'hub.mode': 'subscribe',
          'hub.topic': url().replace('news', 'orders'),
          'hub.callback': 'http://127.0.0.1:9/',
        }),
        /no topic that can be subscribed to/,
      ],
      [
        'a secret of 200 bytes',
        400,
        () => ({
          'hub.mode': 'subscribe',
          'hub.topic': url(),
          'hub.callback': 'http://127.0.0.1:9/',
          'hub.secret': 'x'.repeat(200),
        }),
        /199 at most/,
      ],
      [
        'a lease that is no number',
        400,
        () => ({
          'hub.mode': 'subscribe',
          'hub.topic': url(),
          'hub.callback': 'http://127.0.0.1:9/',
          'hub.lease_seconds': '-1',
        }),
        /whole number/,
      ],
      [
        'a method that is none',
        400,
        () => ({
          'hub.mode': 'subscribe',
          'hub.topic': url(),
          'hub.callback': 'http://127.0.0.1:9/',
          'hub.signature_method': 'md5',
        }),
        /sha1, sha256/,
      ],
    ];
    for (const [what, code, form, said] of wrong) {
      test(what, async () => {
        const answer = await ask(hub, form());
        assert.deepEqual([answer.status, answer.type], [code, 'text/plain; charset=utf-8'], answer.text);
        assert.match(answer.text, said);
      });
    }

    test('another method, another content type, too much', async () => {
      assert.equal((await fetch(hub)).status, 405);
      const json = await fetch(hub, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      });
      assert.equal(json.status, 415);
      assert.equal((await ask(hub, { foo: 'x'.repeat(20_000) })).status, 413);
    });

    test('a parameter given twice', async () => {
      const answer = await ask(hub, [
        ['hub.mode', 'subscribe'],
        ['hub.mode', 'unsubscribe'],
      ]);
      assert.match(answer.text, /given 2 times/);
    });
  });

  describe('verification of intent', () => {
    test('keeps what the query of the callback has, and appends', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback('foo=b%20r&hub.mode=mine&x');
      await subscribed(url, callback);
      const { search, pathname } = new URL(callback.url);
      const { target } = callback.verifications[0] as Seen;
      assert.ok(target.startsWith(`${pathname}${search}&hub.mode=subscribe&`), target);
      await publish(topic, 'a');
      await heard(() => callback.contents, 1, 'the content');
      assert.equal(callback.contents[0]?.target, `${pathname}${search}`);
    });

    for (const [what, answer] of [
      ['404', status(404)],
      ['a redirect', status(302, { location: 'http://127.0.0.1:9/' })],
      ['another body', (_: Seen, response) => void response.end('no')],
      [
        'the challenge and more',
        ({ query }, response) => void response.end(`${query.get('hub.challenge')}\n`),
      ],
      ['nothing', status(204)],
    ] as [string, Callback['verify']][]) {
      test(`${what} is a no, at once, and leaves nothing`, async () => {
        const { url } = newTopic();
        const callback = subscriber.callback();
        callback.verify = answer;
        assert.equal((await subscribe(hub, url, callback)).status, 202);
        await heard(() => callback.verifications, 1, 'the verification');
        await gone(url, callback);
        assert.equal(callback.verifications.length, 1);
      });
    }

    test('an answer of an earlier challenge is a no: each is used once', async () => {
      const { url } = newTopic();
      const callback = subscriber.callback();
      await subscribed(url, callback, { 'hub.lease_seconds': '1000' });
      const used = callback.verifications[0]?.query.get('hub.challenge') ?? '';
      callback.verify = (_, response) => void response.end(used);
      assert.equal((await subscribe(hub, url, callback, { 'hub.lease_seconds': '2000' })).status, 202);
      await heard(() => callback.verifications, 2, 'the verification');
      assert.notEqual(callback.verifications[1]?.query.get('hub.challenge'), used);
      await until(async () => (await stateOf(url, callback))?.requests === 0, 'the refusal');
      const target = (await recordOf(url, callback))?.target;
      assert.equal(target?.$case === 'websub' && target.websub.leaseSeconds, 1_000);
    });

    test('where the callback fails it is asked again, with another challenge, and then is believed', async () => {
      const { url } = newTopic();
      const callback = subscriber.callback();
      callback.verify = (seen, response) =>
        callback.verifications.length === 1 ? status(503)(seen, response) : confirm(seen, response);
      assert.equal((await subscribe(hub, url, callback)).status, 202);
      await until(() => isActive(url, callback), 'the subscription', 20_000);
      const challenges = callback.verifications.map(({ query }) => query.get('hub.challenge'));
      assert.equal(new Set(challenges).size, 2);
    });

    test('a callback that goes on failing is given up, and a subscription stays as it was', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      await subscribed(url, callback, { 'hub.secret': 'old' });
      callback.verify = status(500);
      assert.equal((await unsubscribe(hub, url, callback)).status, 202);
      await heard(() => callback.verifications, 4, 'three attempts');
      await until(
        async () => (await stateOf(url, callback))?.requests === 0,
        'the end of the request',
        20_000,
      );
      await publish(topic, 'still');
      await heard(() => callback.contents, 1, 'the content');
      const [{ headers, body } = {} as Seen] = callback.contents;
      assert.equal(headers['x-hub-signature'], signature('sha256', 'old', body));
    });
  });

  describe('renewal', () => {
    test('changes the secret, and takes it away, only once it is verified', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      await subscribed(url, callback, { 'hub.secret': 'first' });
      const held = Promise.withResolvers<void>();
      callback.verify = (seen, response) => void held.promise.then(() => confirm(seen, response));
      await subscribe(hub, url, callback, { 'hub.secret': 'second' });
      await heard(() => callback.verifications, 2, 'the verification');
      await publish(topic, 'before');
      await heard(() => callback.contents, 1, 'the content');
      held.resolve();
      await until(async () => (await stateOf(url, callback))?.requests === 0, 'the renewal');
      await publish(topic, 'after');
      await heard(() => callback.contents, 2, 'the content');
      callback.verify = confirm;
      await subscribed(url, callback);
      await publish(topic, 'bare');
      await heard(() => callback.contents, 3, 'the content');
      const signatures = callback.contents.map(({ headers }) => headers['x-hub-signature']);
      const signed = (secret: string, text: string) => signature('sha256', secret, Buffer.from(text));
      assert.deepEqual(signatures, [signed('first', 'before'), signed('second', 'after'), undefined]);
    });

    test('a lease is kept within its bounds, and ends the subscription by itself', async () => {
      const { topic, url } = newTopic();
      const [callback, long] = [subscriber.callback(), subscriber.callback()];
      await subscribed(url, long, { 'hub.lease_seconds': '999999999999' });
      await subscribed(url, callback, { 'hub.lease_seconds': '1' });
      assert.equal(long.verifications[0]?.query.get('hub.lease_seconds'), String(30 * 86_400));
      assert.equal(callback.verifications[0]?.query.get('hub.lease_seconds'), '2');
      await gone(url, callback);
      await publish(topic, 'late');
      await heard(() => long.contents, 1, 'the content');
      await passed(topic, url);
      assert.deepEqual(texts(callback), []);
    });

    test('asked for twice at once, it is one subscription', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      const answers = await Promise.all(Array.from({ length: 5 }, () => subscribe(hub, url, callback)));
      assert.deepEqual(new Set(answers.map(({ status: code }) => code)), new Set([202]));
      await until(
        async () => (await isActive(url, callback)) && (await stateOf(url, callback))?.requests === 0,
        'it',
        20_000,
      );
      await publish(topic, 'once');
      await passed(topic, url);
      assert.equal(texts(callback).filter((text) => text === 'once').length, 1);
    });

    test('the last request that is confirmed counts, in whatever order they are answered', async () => {
      const { url } = newTopic();
      const callback = subscriber.callback();
      const first = Promise.withResolvers<void>();
      callback.verify = (seen, response) =>
        void (seen.query.get('hub.mode') === 'subscribe' ? first.promise : Promise.resolve()).then(() =>
          confirm(seen, response),
        );
      await subscribe(hub, url, callback);
      await heard(() => callback.verifications, 1, 'the first verification');
      await unsubscribe(hub, url, callback);
      await gone(url, callback);
      first.resolve();
      await subscribe(hub, url, callback);
      await until(() => isActive(url, callback), 'the subscription made since');
      const unsubscribing = Promise.withResolvers<void>();
      callback.verify = (seen, response) =>
        void (seen.query.get('hub.mode') === 'unsubscribe' ? unsubscribing.promise : Promise.resolve()).then(
          () => confirm(seen, response),
        );
      await unsubscribe(hub, url, callback);
      await subscribe(hub, url, callback, { 'hub.lease_seconds': '777' });
      await until(async () => {
        const target = (await recordOf(url, callback))?.target;
        return target?.$case === 'websub' && target.websub.leaseSeconds === 777;
      }, 'the later one');
      unsubscribing.resolve();
      await heard(
        () => callback.verifications.filter(({ query }) => query.get('hub.mode') === 'unsubscribe'),
        2,
        'it',
      );
      assert.equal(await isActive(url, callback), true);
    });

    test("somebody else's request takes nobody's away", async () => {
      const { url } = newTopic();
      const callback = subscriber.callback();
      callback.verify = (seen, response) =>
        (seen.query.get('hub.mode') === 'subscribe' ? confirm : status(404))(seen, response);
      await Promise.all([subscribe(hub, url, callback), unsubscribe(hub, url, callback)]);
      await until(async () => (await stateOf(url, callback))?.requests === 0, 'both answers', 20_000);
      assert.equal(await isActive(url, callback), true);
    });
  });

  describe('distribution', () => {
    test('is repeated after failures and redirects, until it is taken', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      const answers = [status(500), status(301, { location: callback.url }), status(404), status(200)];
      callback.take = (seen, response) => (answers.shift() ?? status(200))(seen, response);
      await subscribed(url, callback);
      await publish(topic, 'again');
      await heard(() => callback.contents, 4, 'four attempts');
      assert.deepEqual(new Set(texts(callback)), new Set(['again']));
      assert.equal(await isActive(url, callback), true);
    });

    test('goes on after a failure with what is published later', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      let up = false;
      callback.take = (seen, response) => status(up ? 204 : 503)(seen, response);
      await subscribed(url, callback);
      for (const text of ['1', '2', '3']) await publish(topic, text);
      await heard(() => callback.contents, 1, 'an attempt');
      up = true;
      const taken = new Set<string>();
      callback.take = ({ body }, response) => {
        taken.add(body.toString());
        response.writeHead(204).end();
      };
      await until(() => taken.size === 3, 'all of them', 30_000);
    });

    test('410 ends the subscription', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      callback.take = status(410);
      await subscribed(url, callback);
      await publish(topic, 'unwanted');
      await gone(url, callback);
      await passed(topic, url);
      assert.deepEqual(texts(callback), ['unwanted']);
    });

    test('ends with the lease, also of what is tried again', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      callback.take = status(500);
      await subscribed(url, callback, { 'hub.lease_seconds': '3' });
      await publish(topic, 'never taken');
      await heard(() => callback.contents, 2, 'two attempts');
      await gone(url, callback);
      const attempts = callback.contents.length;
      await passed(topic, url);
      await passed(topic, url);
      assert.ok(callback.contents.length <= attempts + 1, 'an attempt under way, and none behind it');
    });
  });

  describe('PubSubHubbub 0.3', () => {
    test('hub.verify=sync is verified before it is answered, with 204 and the token', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      const more = { 'hub.verify': 'sync', 'hub.verify_token': 'tok en', 'hub.secret': 'x' };
      assert.equal((await subscribe(hub, url, callback, more)).status, 204);
      assert.equal(callback.verifications[0]?.query.get('hub.verify_token'), 'tok en');
      await publish(topic, 'a');
      await heard(() => callback.contents, 1, 'the content');
      assert.equal(
        callback.contents[0]?.headers['x-hub-signature'],
        signature('sha1', 'x', Buffer.from('a')),
      );
      assert.equal((await unsubscribe(hub, url, callback, more)).status, 204);
      assert.equal(await recordOf(url, callback), undefined);
    });

    test('what is not confirmed is refused, leaves nothing, and is not asked again', async () => {
      const { url } = newTopic();
      for (const code of [404, 500]) {
        const callback = subscriber.callback();
        callback.verify = status(code);
        const answer = await subscribe(hub, url, callback, { 'hub.verify': 'sync' });
        assert.deepEqual([answer.status, answer.type], [422, 'text/plain; charset=utf-8']);
        assert.equal(await recordOf(url, callback), undefined);
        assert.equal(callback.verifications.length, 1);
      }
    });

    test('the first word that is known counts, and async is 202', async () => {
      const { url } = newTopic();
      const callback = subscriber.callback();
      const form: [string, string][] = [
        ['hub.mode', 'subscribe'],
        ['hub.topic', url],
        ['hub.callback', callback.url],
        ['hub.verify', 'carrier-pigeon'],
        ['hub.verify', 'async'],
        ['hub.verify', 'sync'],
      ];
      assert.equal((await ask(hub, form)).status, 202);
      await until(() => isActive(url, callback), 'the subscription');
    });
  });

  describe('denial', () => {
    test('a revocation of the host ends its subscriptions and tells them', async () => {
      const { url } = newTopic();
      const callback = subscriber.callback('a=b');
      await subscribed(url, callback);
      const id = await revoke('websub:127.0.0.1');
      await heard(() => callback.denials, 1, 'the denial');
      const { query, target } = callback.denials[0] as Seen;
      assert.ok(target.includes('?a=b&hub.mode=denied&'), target);
      assert.equal(query.get('hub.topic'), url);
      assert.match(query.get('hub.reason') ?? '', /revoked/);
      await gone(url, callback);
      const refused = await subscribe(hub, url, callback);
      assert.deepEqual(
        [refused.status, refused.text],
        [403, 'The host of hub.callback is not served here.\n'],
      );
      await lift(id);
      await until(async () => (await subscribe(hub, url, callback)).status === 202, 'the return', 20_000);
    });

    test('a topic that is public no more ends its subscriptions and tells them', async () => {
      const { topic, url } = newTopic();
      const callback = subscriber.callback();
      await subscribed(url, callback);
      writeFileSync(policiesFile, policies({ namespace: 'default', filter: topic }, open));
      await heard(() => callback.denials, 1, 'the denial');
      assert.match(callback.denials[0]?.query.get('hub.reason') ?? '', /not public/);
      await gone(url, callback);
      assert.equal((await subscribe(hub, url, callback)).status, 403);
      await until(async () => (await subscriber.discover(url)).hub === '', 'discovery', 20_000);
    });

    const manager = async (): Promise<Record<string, string>> => {
      const { createHmac } = await import('node:crypto');
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const now = Math.floor(Date.now() / 1_000);
      const claims = { sub: 'op', iat: now, exp: now + 600, pushfleet: { manage: true } };
      const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
      const mac = createHmac('sha256', tokenSecret).update(text).digest('base64url');
      return { authorization: `Bearer ${text}.${mac}`, 'content-type': 'application/json' };
    };
    const revocations = () => `http://${registry.addresses.http}/v1/revocations`;
    const revoke = async (subject: string): Promise<string> => {
      const body = JSON.stringify({ subject });
      const answer = await fetch(revocations(), { method: 'POST', headers: await manager(), body });
      assert.equal(answer.status, 201, await answer.clone().text());
      return ((await answer.json()) as { id: string }).id;
    };
    const lift = async (id: string): Promise<void> => {
      const answer = await fetch(`${revocations()}/${id}`, { method: 'DELETE', headers: await manager() });
      assert.equal(answer.status, 204);
    };
  });

  test('a worker that is killed loses no question and no delivery', async () => {
    const { topic, url } = newTopic();
    const [callback, asked] = [subscriber.callback(), subscriber.callback()];
    await subscribed(url, callback, { 'hub.secret': 'x' });
    const held = Promise.withResolvers<void>();
    callback.take = (seen, response) => void held.promise.then(() => status(204)(seen, response));
    asked.verify = status(503);
    await subscribe(hub, url, asked);
    await heard(() => asked.verifications, 1, 'the question');
    await publish(topic, 'not lost');
    await heard(() => callback.contents, 1, 'the delivery');
    await worker.kill('SIGKILL');
    asked.verify = confirm;
    callback.take = status(204);
    const before = callback.contents.length;
    worker = await startService('delivery-websub', workerEnv());
    await until(() => isActive(url, asked), 'the subscription', 60_000);
    await heard(() => callback.contents, before + 1, 'the delivery, once more');
    held.resolve();
  });

  const workerEnv = (): Record<string, string> => ({
    PUSHFLEET_NATS_URL: nats.url,
    PUSHFLEET_TOKEN_SECRET: tokenSecret,
    PUSHFLEET_OUTBOUND_ALLOW: '127.0.0.1',
    PUSHFLEET_POLICIES_FILE: policiesFile,
    PUSHFLEET_PUBLIC_URL: front.url,
    PUSHFLEET_REGISTRY_URL: `http://${registry.addresses.grpc}`,
    PUSHFLEET_WEBSUB_VERIFY_RETRY: '1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s',
    PUSHFLEET_WEBSUB_RETRY: '1s',
  });
});
