import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { connectJetStream, migrate } from '@pushfleet/bus';
import { type NatsCluster, type RedisServer, startNats, startRedis, until } from '@pushfleet/contract';
import { type Namespace, parseTopic } from '@pushfleet/core';
import {
  type MatchAnswer,
  type Subscription,
  type SubscriptionChange,
  SubscriptionKind,
  SubscriptionServiceClient,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { draft, namespace, webhook, websub } from '../subscriptions/testing.ts';
import { type Instance, startInstance } from '../testing.ts';

const streams = {
  shards: 2,
  replicas: 1,
  maxAgeMs: 3_600_000,
  maxBytes: 67_108_864,
  duplicateWindowMs: 120_000,
};
const kind = SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK;

type Done<T> = (error: ServiceError | null, response: T) => void;

const ask = <T>(call: (done: Done<T>) => unknown): Promise<T> =>
  new Promise((resolve, reject) => {
    call((error, response) => (error === null ? resolve(response) : reject(error)));
  });
const failure = async (
  promise: Promise<unknown>,
): Promise<{ code: status; word: unknown; details: string }> => {
  const [settled] = await Promise.allSettled([promise]);
  assert.ok(settled?.status === 'rejected', 'it worked');
  const { code, metadata, details } = settled.reason as ServiceError;
  return { code, details, word: metadata.get('pushfleet-code')[0] };
};

/** One instance as another service sees it. */
function connect(instance: Instance) {
  const { target, credentials: channel, options } = instance.client();
  const client = new SubscriptionServiceClient(target, channel, options);
  const get = (id: string, withSecrets = false) =>
    ask((done: Done<{ subscription: Subscription | undefined }>) =>
      client.getSubscription({ namespace, id, withSecrets }, done),
    );
  return {
    client,
    create: async (over: Partial<Subscription> = {}): Promise<Subscription> => {
      const request = { subscription: draft(over), ownerLimit: 0 };
      const { subscription } = await ask((done: Done<{ subscription: Subscription | undefined }>) =>
        client.createSubscription(request, done),
      );
      return subscription as Subscription;
    },
    get: async (id: string, withSecrets = false) => (await get(id, withSecrets)).subscription as Subscription,
    update: async (subscription: Subscription, ...updateMask: string[]): Promise<Subscription> => {
      const response = await ask((done: Done<{ subscription: Subscription | undefined }>) =>
        client.updateSubscription({ subscription, updateMask }, done),
      );
      return response.subscription as Subscription;
    },
    end: (id: string, ifRevision?: bigint) =>
      ask((done: Done<object>) =>
        client.deleteSubscription({ namespace, id, ifRevision, reason: 'unsubscribed' }, done),
      ),
    matched: async (topic: string, cursor: string): Promise<string[]> => {
      const questions = [{ namespace, topic, cursor, pageToken: '' }];
      const { answers } = await ask((done: Done<{ answers: MatchAnswer[] }>) =>
        client.matchSubscriptions({ kind, questions, pageSize: 0 }, done),
      );
      return (answers[0]?.matches ?? []).map(({ id }) => id).toSorted();
    },
    watch: () => {
      const stream = client.watchSubscriptions({ kinds: [] });
      const seen = { messages: 0, changes: [] as SubscriptionChange[], errors: [] as ServiceError[] };
      stream
        .on('data', ({ changes }) => {
          seen.messages++;
          seen.changes.push(...changes);
        })
        .on('error', (error) => seen.errors.push(error as ServiceError));
      return seen;
    },
  };
}

describe('SubscriptionService', () => {
  let nats: NatsCluster;
  let redis: RedisServer;
  const open: Instance[] = [];
  let one: ReturnType<typeof connect>;
  let two: ReturnType<typeof connect>;
  let cursor: () => Promise<string>;

  const start = async (env: NodeJS.ProcessEnv = {}): Promise<Instance> => {
    const backbone = connectJetStream({ servers: nats.url, name: 'registry' });
    const instance = await startInstance({ redisUrl: redis.url, backbone, env });
    open.push(instance);
    await until(() => instance.parts.every((part) => part.ready?.() === undefined), 'readiness');
    cursor = async () => {
      const [stored] = await backbone.bus(namespace).publish([
        {
          topic: parseTopic('orders/1'),
          source: 'test',
          id: randomUUID(),
          contentType: 'text/plain',
          payload: new Uint8Array(),
        },
      ]);
      assert.ok(stored !== undefined && 'cursor' in stored, String(stored));
      return stored.cursor;
    };
    return instance;
  };

  before(async () => {
    [nats, redis] = await Promise.all([startNats(), startRedis()]);
  });
  after(() => Promise.all([nats.stop(), redis.stop()]));
  beforeEach(async () => {
    await migrate({ servers: nats.url, ...streams, newGeneration: true });
    const instances = await Promise.all([start(), start()]);
    [one, two] = instances.map(connect) as [typeof one, typeof two];
  });
  afterEach(async () => {
    const ledgers = connectJetStream({ servers: nats.url, name: 'cleaner' });
    await ledgers.start();
    const ledger = ledgers.ledger('subscriptions');
    for await (const page of (await ledger.read()).pages) {
      await Promise.all(page.map(({ key }) => ledger.delete(key)));
    }
    await ledgers.close();
    await Promise.all(open.splice(0).map((instance) => instance.close()));
  });

  it('is for services of the fleet alone', async () => {
    const target = one.client.getChannel().getTarget();
    const stranger = new SubscriptionServiceClient(target, credentials.createInsecure());
    const refused = await failure(
      ask((done: Done<unknown>) => stranger.getSubscription({ namespace, id: 'a', withSecrets: true }, done)),
    );
    assert.equal(refused.code, status.PERMISSION_DENIED);
    stranger.close();
  });

  it('answers at every instance by what one has acknowledged', async () => {
    for (let n = 0; n < 20; n++) {
      const [here, there] = n % 2 ? [one, two] : [two, one];
      const created = await here.create({ id: `a${n}`, filter: n % 3 ? 'orders/1' : 'orders/+' });
      const at = await cursor();
      assert.ok((await there.matched('orders/1', at)).includes(`a${n}`), 'created');
      const paused = await there.update(
        { ...created, state: SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED },
        'state',
      );
      assert.ok(!(await here.matched('orders/1', at)).includes(`a${n}`), 'suspended');
      await here.update({ ...paused, state: SubscriptionState.SUBSCRIPTION_STATE_ACTIVE }, 'state');
      assert.ok((await there.matched('orders/1', at)).includes(`a${n}`), 'resumed');
      if (n % 2) await here.end(`a${n}`);
      assert.equal((await there.matched('orders/1', at)).includes(`a${n}`), n % 2 === 0, 'ended');
    }
  });

  it('has a status for each refusal', async () => {
    const created = await one.create({ id: 'a' });
    const word = async (promise: Promise<unknown>) => {
      const { code, word } = await failure(promise);
      return [code, word];
    };
    assert.deepEqual(await word(two.create({ id: 'a' })), [status.ALREADY_EXISTS, 'conflict']);
    assert.deepEqual(await word(two.get('b')), [status.NOT_FOUND, 'not_found']);
    assert.deepEqual(await word(two.create({ id: 'b c' })), [status.INVALID_ARGUMENT, 'request_invalid']);
    assert.deepEqual(await word(two.create({ filter: 'a/#/b' })), [
      status.INVALID_ARGUMENT,
      'filter_invalid',
    ]);
    assert.deepEqual(await word(two.update(created)), [status.INVALID_ARGUMENT, 'request_invalid']);
    assert.deepEqual(await word(two.update({ ...created, id: 'b' }, 'state')), [
      status.NOT_FOUND,
      'not_found',
    ]);
    const changed = await two.update({ ...created, description: 'b' }, 'description');
    assert.deepEqual(await word(one.update({ ...created }, 'state')), [status.ALREADY_EXISTS, 'conflict']);
    assert.deepEqual(await word(one.end('a', created.revision)), [status.ALREADY_EXISTS, 'conflict']);
    await one.end('a', changed.revision);
    await one.end('a', changed.revision);
    const nothing = ask((done: Done<unknown>) =>
      one.client.createSubscription({ subscription: undefined, ownerLimit: 0 }, done),
    );
    assert.deepEqual(await word(nothing), [status.INVALID_ARGUMENT, 'request_invalid']);
    const unknown = ask((done: Done<unknown>) =>
      one.client.matchSubscriptions({ kind: 0, questions: [], pageSize: 0 }, done),
    );
    assert.deepEqual(await word(unknown), [status.INVALID_ARGUMENT, 'request_invalid']);
  });

  it('lists by owner, kind, filter and state, page by page', async () => {
    const bob = { subject: 'bob', tokenId: '', issuedAt: undefined, subscribeGrants: ['#'] };
    for (let n = 0; n < 5; n++) await one.create({ id: `a${n}`, ...(n % 2 ? { authority: bob } : {}) });
    await one.create({ id: 'b', target: websub() });
    const list = (over: object) => {
      const all = {
        namespace,
        owner: '',
        kind: 0 as const,
        filter: '',
        state: 0 as const,
        pageSize: 0,
        pageToken: '',
      };
      return ask((done: Done<{ subscriptions: Subscription[]; nextPageToken: string }>) =>
        two.client.listSubscriptions({ ...all, ...over }, done),
      );
    };
    const walk = async (over: object): Promise<string> => {
      const ids: string[] = [];
      for (let pageToken = ''; ; ) {
        const page = await list({ ...over, pageSize: 2, pageToken });
        ids.push(...page.subscriptions.map(({ id }) => id));
        pageToken = page.nextPageToken;
        if (pageToken === '') return ids.join();
      }
    };
    assert.equal(await walk({}), 'a0,a1,a2,a3,a4,b');
    assert.equal(await walk({ owner: 'bob' }), 'a1,a3');
    assert.equal(await walk({ kind: SubscriptionKind.SUBSCRIPTION_KIND_WEBSUB }), 'b');
    assert.equal(await walk({ filter: 'orders/+', owner: 'alice' }), 'a0,a2,a4,b');
    assert.equal(await walk({ filter: 'orders/#' }), '');
    assert.equal(await walk({ state: SubscriptionState.SUBSCRIPTION_STATE_PAUSED }), '');
    assert.equal(await walk({ namespace: 'other' }), '');
    const refused = await failure(list({ pageSize: 1_001 }));
    assert.equal(refused.code, status.INVALID_ARGUMENT);
    assert.equal((await failure(list({ pageToken: 'a b' }))).code, status.INVALID_ARGUMENT);
  });

  it('reads a thousand of the largest records with their secrets at once', async () => {
    const headers = Array.from({ length: 8 }, (_, n) => ({ name: `x-${n}`, value: 'v'.repeat(1_000) }));
    const authority = {
      subject: 'alice',
      tokenId: '',
      issuedAt: undefined,
      subscribeGrants: ['x'.repeat(1_000), 'y'.repeat(1_000)],
    };
    const ids = Array.from({ length: 1_000 }, (_, n) => `large-${n}`);
    for (let from = 0; from < ids.length; from += 50) {
      const some = ids.slice(from, from + 50);
      await Promise.all(some.map((id) => one.create({ id, authority, target: webhook({ headers }) })));
    }
    const { subscriptions } = await ask((done: Done<{ subscriptions: Subscription[] }>) =>
      two.client.batchGetSubscriptions({ namespace, ids, withSecrets: true }, done),
    );
    assert.equal(subscriptions.length, 1_000);
    assert.deepEqual(subscriptions[0]?.target, webhook({ headers }));
  });

  it('tells watchers at every instance of every change, and of the end of a lease', async () => {
    const watching = two.watch();
    await until(() => watching.messages === 1, 'the beginning');
    assert.equal(watching.changes.length, 0);
    const created = await one.create({ id: 'a', expiresAt: new Date(Date.now() + 60_000) });
    const updated = await one.update({ ...created, description: 'b' }, 'description');
    await one.end('a');
    await until(() => watching.changes.length === 3, 'three changes');
    assert.deepEqual(
      watching.changes.map(({ id, deleted }) => [id, deleted]),
      [
        ['a', false],
        ['a', false],
        ['a', true],
      ],
    );
    assert.deepEqual(
      watching.changes.slice(0, 2).map(({ revision }) => revision),
      [created.revision, updated.revision],
    );
    const leased = await one.create({ id: 'leased', expiresAt: new Date(Date.now() + 1_500) });
    const at = await cursor();
    assert.deepEqual(await two.matched('orders/1', at), ['leased']);
    const renewed = await two.update({ ...leased, expiresAt: new Date(Date.now() + 2_500) }, 'expires_at');
    await until(() => Date.now() >= Number(leased.expiresAt), 'the end of the first lease');
    assert.equal((await one.get('leased')).revision, renewed.revision, 'the renewal holds');
    await until(() => Date.now() >= Number(renewed.expiresAt), 'the end of the lease');
    assert.deepEqual(await one.matched('orders/1', at), [], 'before the log has removed it');
    assert.equal((await failure(one.get('leased'))).code, status.NOT_FOUND);
    assert.equal((await failure(one.update(renewed, 'state'))).code, status.NOT_FOUND);
    await until(() => watching.changes.at(-1)?.deleted === true, 'the news of it');
    assert.equal(watching.changes.findLast(({ deleted }) => deleted)?.id, 'leased');
  });

  it('sends watchers elsewhere when it drains', async () => {
    const instance = await start();
    const service = connect(instance);
    const watching = service.watch();
    await until(() => watching.messages === 1, 'the beginning');
    assert.equal(instance.grpc.subscriptionWatchers, 1);
    await instance.drain();
    await until(() => watching.errors.length === 1, 'the end');
    assert.equal(watching.errors[0]?.metadata.get('pushfleet-code')[0], 'draining');
  });

  it('refuses watchers of a kind that there is not', async () => {
    const stream = one.client.watchSubscriptions({ kinds: [0] });
    const { promise, resolve } = Promise.withResolvers<ServiceError>();
    stream.on('data', () => {}).on('error', (error) => resolve(error as ServiceError));
    assert.equal((await promise).code, status.INVALID_ARGUMENT);
  });

  it('holds a namespace to its quota and to the limit of all, whichever is smaller', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'pushfleet-'));
    const file = join(directory, 'policies.json');
    writeFileSync(file, JSON.stringify({ quotas: [{ namespace: 'default', subscriptions: 2 }] }));
    const limited = connect(await start({ PUSHFLEET_POLICIES_FILE: file, PUSHFLEET_SUBSCRIPTIONS: '3' }));
    const full = { code: status.RESOURCE_EXHAUSTED, word: 'quota_subscriptions' };
    for (const [space, most] of [
      [namespace, 2],
      ['other' as Namespace, 3],
    ] as const) {
      for (let n = 0; n < most; n++) await limited.create({ namespace: space });
      const { details, ...refused } = await failure(limited.create({ namespace: space }));
      assert.deepEqual(refused, full);
      assert.match(details, new RegExp(`has ${most} subscriptions, and ${most} is the most`));
    }
    rmSync(directory, { recursive: true });
  });

  it('reads, changes and ends while Redis is away, and creates and matches when it is back', async () => {
    const created = await one.create({ id: 'a' });
    const at = await cursor();
    await redis.kill('SIGKILL');
    const away = await failure(one.create({ id: 'b' }));
    assert.deepEqual([away.code, away.word], [status.UNAVAILABLE, 'unavailable']);
    assert.equal((await failure(one.matched('orders/1', at))).code, status.UNAVAILABLE);
    assert.deepEqual(await two.get('a', true), { ...created, target: webhook() });
    const changed = await two.update({ ...created, filter: 'orders/#' }, 'filter');
    await redis.restart({ empty: true });
    // Each instance has a connection to Redis of its own, which comes back in its own time.
    for (const instance of [one, two]) {
      const matches = () =>
        instance.matched('orders/1', at).then(
          ({ length }) => length === 1,
          () => false,
        );
      await until(matches, 'a match');
    }
    await one.create({ id: 'b' });
    assert.deepEqual(await two.matched('orders/1', await cursor()), ['a', 'b']);
    await two.end('a', changed.revision);
  });

  it('answers that it is unavailable while NATS is away, and goes on when it is back', async () => {
    const created = await one.create({ id: 'a' });
    const watching = two.watch();
    await until(() => watching.messages === 1, 'the beginning');
    await nats.servers[0]?.kill('SIGKILL');
    const calls = [one.get('a'), one.create({ id: 'b' }), one.update(created, 'state'), one.end('a')];
    for (const { code } of await Promise.all(calls.map(failure))) assert.equal(code, status.UNAVAILABLE);
    await nats.servers[0]?.restart();
    await until(
      () =>
        one.get('a').then(
          () => true,
          () => false,
        ),
      'the log',
    );
    await one.update({ ...created, description: 'after' }, 'description');
    await until(() => watching.changes.length === 1, 'the change');
    assert.equal(watching.errors.length, 0);
  });
});
