import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { type Cursor, PushfleetError, parseCursor, parseTopic } from '@pushfleet/core';
import {
  type Subscription,
  type SubscriptionChange,
  SubscriptionKind,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog } from '@pushfleet/runtime';
import { Sealing } from './sealing.ts';
import { parseSealingKeys } from './sealing-keys.ts';
import { Subscriptions } from './store.ts';
import { draft, LedgerIndex, namespace, webhook, websub } from './testing.ts';

const keys = parseSealingKeys(`k1:${Buffer.alloc(32, 1).toString('base64')}`);
const log = createLog({ name: 'registry', level: 'silent' });
const { SUBSCRIPTION_STATE_PAUSED: paused, SUBSCRIPTION_STATE_ACTIVE: active } = SubscriptionState;

const positions = (cursor: string) => parseCursor(cursor).positions;

describe('Subscriptions', () => {
  let backbone: MemoryBackbone;
  let index: LedgerIndex;
  let subscriptions: Subscriptions;
  let most: number;

  const open = async (sealing = new Sealing(keys)): Promise<Subscriptions> => {
    const ledger = backbone.ledger('subscriptions');
    const opened = new Subscriptions({ ledger, index, sealing, backbone, limit: () => most, log });
    await opened.start();
    await until(() => opened.ready() === undefined, 'the log to be followed');
    return opened;
  };
  const failure = async (promise: Promise<unknown>): Promise<PushfleetError> => {
    const [settled] = await Promise.allSettled([promise]);
    assert.ok(settled?.status === 'rejected' && settled.reason instanceof PushfleetError);
    return settled.reason;
  };

  beforeEach(async () => {
    backbone = createMemoryBackbone();
    index = new LedgerIndex(backbone.ledger('subscriptions'));
    most = 1_000;
    subscriptions = await open();
  });
  afterEach(() => subscriptions.close());

  it('keeps what was created, with times, a revision, an id and the log’s head', async () => {
    await backbone
      .bus(namespace)
      .publish([{ topic: parseTopic('orders/1'), id: 'a', source: 'x', payload: new Uint8Array() } as never]);
    const created = await subscriptions.create(draft());
    assert.match(created.id, /^sub_[A-Za-z0-9_-]{22}$/);
    assert.ok(created.revision > 0n && created.createdAt instanceof Date);
    assert.deepEqual([created.stateSince, created.updatedAt], [created.createdAt, created.createdAt]);
    assert.deepEqual(positions(created.startCursor), positions(await backbone.bus(namespace).head()));
    assert.deepEqual(await subscriptions.get(namespace, created.id), created);
    const named = await subscriptions.create(draft({ id: 'named', startCursor: 'g-1-1' }));
    assert.deepEqual([named.id, named.startCursor], ['named', 'g-1-1' as Cursor]);
  });

  it('gives secrets to whoever asks for them, and to nobody else', async () => {
    for (const [id, target] of Object.entries({ a: webhook(), b: websub() })) {
      const seen = [
        await subscriptions.create(draft({ id, target })),
        await subscriptions.get(namespace, id),
      ];
      seen.push(...(await subscriptions.getMany(namespace, [id])).subscriptions);
      seen.push(...(await subscriptions.list({ namespace, pageSize: 10 })).subscriptions);
      seen.push(
        await subscriptions.update({ ...seen[0], description: 'b' } as Subscription, ['description']),
      );
      const text = JSON.stringify(seen, (_, value) =>
        value?.type === 'Buffer'
          ? Buffer.from(value.data).toString()
          : typeof value === 'bigint'
            ? ''
            : value,
      );
      assert.ok(!/secret of 32|of a secret|in clear/.test(text), text);
      const held = await subscriptions.get(namespace, id, { withSecrets: true });
      assert.deepEqual(held.target, target);
      const many = await subscriptions.getMany(namespace, [id, 'none'], { withSecrets: true });
      assert.deepEqual(many, { subscriptions: [held], sealed: [] });
      const { value } = (await backbone.ledger('subscriptions').get(`default/${id}`)) ?? {};
      assert.ok(
        value !== undefined &&
          !/secret of 32|of a secret|in clear/.test(Buffer.from(value).toString('latin1')),
      );
    }
  });

  it('changes what the mask names, and when it came into its state', async () => {
    const created = await subscriptions.create(draft({ id: 'a' }));
    const wanted = { ...created, state: paused, filter: 'orders/2', description: 'not in the mask' };
    const changed = await subscriptions.update(wanted, ['state', 'filter']);
    assert.deepEqual(
      [changed.state, changed.filter, changed.description],
      [paused, 'orders/2', 'of the tests'],
    );
    assert.ok(changed.revision > created.revision && changed.stateSince !== undefined);
    const again = await subscriptions.update({ ...changed, description: 'x' }, ['description', 'state']);
    assert.deepEqual(again.stateSince, changed.stateSince, 'it was in this state already');
    assert.deepEqual(again.createdAt, created.createdAt);
  });

  it('begins anew at the log’s head where the start is taken away', async () => {
    const created = await subscriptions.create(draft({ id: 'a', startCursor: 'g-1-1' }));
    const resumed = await subscriptions.update({ ...created, startCursor: '' }, ['start_cursor']);
    assert.deepEqual(positions(resumed.startCursor), positions(await backbone.bus(namespace).head()));
  });

  it('keeps a secret that is written back empty, and takes a new one', async () => {
    const created = await subscriptions.create(draft({ id: 'a' }));
    const moved = await subscriptions.update(created, ['webhook']);
    const both = await subscriptions.get(namespace, 'a', { withSecrets: true });
    assert.deepEqual(both.target, draft().target);
    assert.ok(moved.target?.$case === 'webhook');
    const [old] = moved.target.webhook.secrets;
    assert.ok(old !== undefined);
    const fresh = { ...old, keyId: 'two', secret: Buffer.alloc(32, 2) };
    await subscriptions.update({ ...moved, target: webhook({ secrets: [fresh, old] }) }, ['webhook.secrets']);
    const { target } = await subscriptions.get(namespace, 'a', { withSecrets: true });
    assert.ok(target?.$case === 'webhook');
    assert.deepEqual(
      target.webhook.secrets.map(({ secret }) => secret.toString()),
      [fresh.secret.toString(), 'a signing secret of 32 bytes ...'],
    );
    assert.equal(target.webhook.headers[0]?.value, 'Bearer of a secret');
    const unknown = webhook({ secrets: [{ ...old, keyId: 'three' }] });
    const refused = subscriptions.update({ ...moved, revision: 99n, target: unknown }, ['webhook.secrets']);
    assert.equal((await failure(refused)).code, 'conflict');
  });

  it('refuses what is not legal, before anything is stored', async () => {
    for (const record of [
      draft({ namespace: 'a b' }),
      draft({ id: 'a/b' }),
      draft({ id: 'x'.repeat(65) }),
      draft({ filter: 'a+' }),
      draft({ target: undefined }),
      draft({ expiresAt: new Date(0) }),
      draft({ target: webhook({ headers: [{ name: 'x', value: '' }] }) }),
    ]) {
      assert.match((await failure(subscriptions.create(record))).code, /^(request|filter)_invalid$/);
    }
    const created = await subscriptions.create(draft({ id: 'x'.repeat(64) }));
    for (const [change, mask] of [
      [{ filter: '' }, 'filter'],
      [{ state: 0 as const }, 'state'],
      [{ expiresAt: new Date(0) }, 'expires_at'],
      [{ revision: 0n }, 'state'],
      [{ target: webhook({ url: 'x' }) }, 'webhook.url'],
    ] as const) {
      const refused = subscriptions.update({ ...created, ...change }, [mask]);
      assert.match((await failure(refused)).code, /^(request|filter)_invalid$/);
    }
    assert.equal((await backbone.ledger('subscriptions').read()).head, 1);
  });

  it('ends a subscription once, and twice without a word', async () => {
    const created = await subscriptions.create(draft({ id: 'a' }));
    const stale = Number(created.revision) - 1;
    assert.equal(
      (await failure(subscriptions.delete(namespace, 'a', { ifRevision: stale }))).code,
      'conflict',
    );
    await subscriptions.delete(namespace, 'a', { ifRevision: Number(created.revision), reason: 'gone' });
    await subscriptions.delete(namespace, 'a', { ifRevision: Number(created.revision) });
    assert.equal((await failure(subscriptions.get(namespace, 'a'))).code, 'not_found');
    assert.equal((await failure(subscriptions.update(created, ['state']))).code, 'not_found');
    assert.ok((await subscriptions.create(draft({ id: 'a' }))).revision > created.revision);
  });

  it('lets one of many creators of one id win', async () => {
    const other = await open();
    const attempts = Array.from({ length: 20 }, (_, n) =>
      (n % 2 ? other : subscriptions).create(draft({ id: 'a', description: String(n) })),
    );
    const settled = await Promise.allSettled(attempts);
    const won = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const lost = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []));
    assert.deepEqual([won.length, new Set(lost)], [1, new Set(['conflict'])]);
    assert.equal((await subscriptions.get(namespace, 'a')).description, won[0]?.description);
    await other.close();
  });

  it('lets one of many updaters of one revision win, and an end during an update', async () => {
    const created = await subscriptions.create(draft({ id: 'a' }));
    const updates = Array.from({ length: 20 }, (_, n) =>
      subscriptions.update({ ...created, description: String(n) }, ['description']),
    );
    const settled = await Promise.allSettled(updates);
    const won = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    assert.equal(won.length, 1);
    assert.deepEqual(await subscriptions.get(namespace, 'a'), won[0]);
    const [update] = await Promise.allSettled([
      subscriptions.update({ ...(won[0] as Subscription), state: paused }, ['state']),
      subscriptions.delete(namespace, 'a'),
    ]);
    assert.ok(update.status === 'fulfilled' || ['conflict', 'not_found'].includes(update.reason.code));
    assert.equal((await failure(subscriptions.get(namespace, 'a'))).code, 'not_found', 'the end holds');
  });

  it('ends by itself, tells of it, and is not found before the log has removed it', async () => {
    const changes: SubscriptionChange[] = [];
    subscriptions.watch([], (change) => changes.push(change));
    const expiresAt = new Date(Date.now() + 1_000);
    const created = await subscriptions.create(draft({ id: 'a', expiresAt }));
    await until(
      () =>
        subscriptions.get(namespace, 'a').then(
          () => false,
          (error) => error.code === 'not_found',
        ),
      'the end',
    );
    assert.equal(
      (await failure(subscriptions.update({ ...created, expiresAt: undefined }, ['expires_at']))).code,
      'not_found',
    );
    await until(() => changes.some(({ deleted }) => deleted), 'the news of it');
    await subscriptions.create(draft({ id: 'a' }));
  });

  it('lives on where its lease is renewed, or taken away', async () => {
    const soon = () => new Date(Date.now() + 1_000);
    const [one, two] = [
      await subscriptions.create(draft({ id: 'a', expiresAt: soon() })),
      await subscriptions.create(draft({ id: 'b', expiresAt: soon() })),
    ];
    const far = new Date(Date.now() + 3_600_000);
    await subscriptions.update({ ...one, expiresAt: far }, ['expires_at']);
    await subscriptions.update({ ...two, expiresAt: undefined }, ['expires_at']);
    await subscriptions.create(draft({ id: 'c', expiresAt: soon() }));
    await until(
      async () => (await subscriptions.getMany(namespace, ['c'])).subscriptions.length === 0,
      'the end of another',
    );
    assert.equal((await subscriptions.getMany(namespace, ['a', 'b'])).subscriptions.length, 2);
  });

  it('may be created anew when its lease has ended and the log still holds it', async () => {
    let now = Date.now();
    const ledger = backbone.ledger('subscriptions');
    const sealing = new Sealing(keys);
    const clock = new Subscriptions({
      ledger,
      index,
      sealing,
      backbone,
      limit: () => most,
      log,
      now: () => now,
    });
    const first = await clock.create(draft({ id: 'a', expiresAt: new Date(now + 600_000) }));
    now += 600_000;
    assert.deepEqual((await clock.getMany(namespace, ['a'])).subscriptions, []);
    await clock.delete(namespace, 'a');
    assert.ok((await clock.create(draft({ id: 'a' }))).revision > first.revision);
  });

  it('tells watchers of their kinds, and of every end', async () => {
    const told: Record<string, SubscriptionChange[]> = { all: [], webhook: [], websub: [] };
    const { SUBSCRIPTION_KIND_WEBHOOK, SUBSCRIPTION_KIND_WEBSUB } = SubscriptionKind;
    subscriptions.watch([], (change) => told.all?.push(change));
    const watch = subscriptions.watch([SUBSCRIPTION_KIND_WEBHOOK], (change) => told.webhook?.push(change));
    subscriptions.watch([SUBSCRIPTION_KIND_WEBSUB], (change) => told.websub?.push(change));
    const hook = await subscriptions.create(draft({ id: 'hook' }));
    await subscriptions.create(draft({ id: 'sub', target: websub() }));
    await subscriptions.update({ ...hook, state: paused }, ['state']);
    await subscriptions.delete(namespace, 'hook');
    await until(() => told.all?.length === 4, 'all changes');
    const ids = (name: string) => told[name]?.map(({ id, deleted }) => `${id}${deleted ? ' ended' : ''}`);
    assert.deepEqual(ids('all'), ['hook', 'sub', 'hook', 'hook ended']);
    assert.deepEqual(ids('webhook'), ['hook', 'hook', 'hook ended']);
    assert.deepEqual(ids('websub'), ['sub', 'hook ended']);
    assert.equal(told.all?.[0]?.revision, hook.revision);
    watch.stop();
    await subscriptions.create(draft({ id: 'more' }));
    await until(() => told.all?.length === 5, 'one more');
    assert.equal(told.webhook?.length, 3);
  });

  it('holds a namespace to its limit, at it, below it and above it', async () => {
    most = 3;
    const settled = await Promise.allSettled(Array.from({ length: 10 }, () => subscriptions.create(draft())));
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 3);
    const refused = await failure(subscriptions.create(draft()));
    assert.equal(refused.code, 'quota_subscriptions');
    assert.deepEqual(refused.detail, { limit: 3, held: 3 });
    const [first] = (await subscriptions.list({ namespace, pageSize: 1 })).subscriptions;
    await subscriptions.delete(namespace, (first as Subscription).id);
    await subscriptions.create(draft());
    await subscriptions.create(draft({ namespace: 'other' }));
    most = 2;
    assert.deepEqual((await failure(subscriptions.create(draft()))).detail, { limit: 2, held: 3 });
  });

  it('holds an owner to a limit where the creator says one, and leaves half of the room to others', async () => {
    const by = (subject: string) =>
      draft({ authority: { subject, tokenId: '', issuedAt: undefined, subscribeGrants: ['orders/#'] } });
    const create = (subject: string) => subscriptions.create(by(subject), { ownerLimit: 2 });
    await create('ann');
    await create('ann');
    assert.deepEqual((await failure(create('ann'))).detail, { limit: 2 });
    await create('bob');
    await subscriptions.create(by('ann'));
    most = 9;
    assert.deepEqual((await failure(create('cid'))).detail, { limit: 4, held: 4 });
    await subscriptions.create(by('cid'));
  });

  it('stores nothing while the index cannot be asked, and reads and changes all the same', async () => {
    const created = await subscriptions.create(draft({ id: 'a' }));
    index.failure = new PushfleetError('unavailable', 'The registry cannot reach its Redis.');
    assert.equal((await failure(subscriptions.create(draft({ id: 'b' })))).code, 'unavailable');
    assert.equal((await failure(subscriptions.list({ namespace, pageSize: 1 }))).code, 'unavailable');
    assert.equal((await subscriptions.get(namespace, 'a')).id, 'a');
    await subscriptions.update({ ...created, state: paused }, ['state']);
    index.failure = undefined;
    await subscriptions.create(draft({ id: 'b' }));
    await subscriptions.delete(namespace, 'a');
  });

  it('refuses a secret where it has no key, and takes what has none', async () => {
    const keyless = await open(new Sealing([]));
    const refused = await failure(keyless.create(draft({ id: 'a' })));
    assert.deepEqual([refused.code, /PUSHFLEET_SECRETS_KEYS/.test(refused.message)], ['unavailable', true]);
    await keyless.create(draft({ id: 'a', target: webhook({ secrets: [], headers: [] }) }));
    const held = await subscriptions.create(draft({ id: 'b' }));
    await keyless.update({ ...held, state: paused }, ['state']);
    const unread = await failure(keyless.get(namespace, 'b', { withSecrets: true }));
    assert.match(unread.message, /The key "k1" is missing/);
    const many = await keyless.getMany(namespace, ['a', 'b'], { withSecrets: true });
    assert.deepEqual(
      [many.subscriptions.map(({ id }) => id), many.sealed.map(({ id }) => id)],
      [['a'], ['b']],
    );
    assert.equal((await subscriptions.get(namespace, 'b', { withSecrets: true })).state, paused);
    await keyless.close();
  });

  it('lists page by page, in the order of ids', async () => {
    for (const id of ['c', 'a', 'b']) await subscriptions.create(draft({ id }));
    const first = await subscriptions.list({ namespace, pageSize: 2 });
    const second = await subscriptions.list({ namespace, pageSize: 2, pageToken: first.next ?? '' });
    const ids = [first, second].map((page) => page.subscriptions.map(({ id }) => id));
    assert.deepEqual([ids, second.next], [[['a', 'b'], ['c']], undefined]);
    for (const query of [{ pageToken: '%%' }, { pageSize: 0 }, { pageSize: 1_001 }]) {
      assert.equal(
        (await failure(subscriptions.list({ namespace, pageSize: 1, ...query }))).code,
        'request_invalid',
      );
    }
  });

  it('reads and matches so many at once, and no more', async () => {
    const ids = Array.from({ length: 1_001 }, (_, n) => `x${n}`);
    assert.deepEqual((await subscriptions.getMany(namespace, ids.slice(1))).subscriptions, []);
    assert.equal((await failure(subscriptions.getMany(namespace, ids))).code, 'request_invalid');
    const question = { namespace, topic: 'a', cursor: 'g-1-1', pageToken: '' };
    const questions = Array.from({ length: 501 }, () => question);
    const kind = SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK;
    assert.equal((await subscriptions.match(kind, questions.slice(1), 10_000)).length, 500);
    for (const [asked, size] of [
      [questions, 1],
      [[question], 10_001],
      [[{ ...question, topic: 'a/#' }], 1],
      [[{ ...question, cursor: '' }], 1],
      [[{ ...question, namespace: '' }], 1],
    ] as const) {
      assert.match((await failure(subscriptions.match(kind, asked, size))).code, /_invalid$/);
    }
    assert.equal((await failure(subscriptions.match(0, [], 1))).code, 'request_invalid');
  });

  it('counts what it did, by kind and state', async () => {
    const created = await subscriptions.create(draft({ id: 'a' }));
    const changed = await subscriptions.update({ ...created, state: paused }, ['state']);
    await subscriptions.update({ ...changed, state: active }, ['state']);
    await subscriptions.delete(namespace, 'a');
    assert.deepEqual(
      [...subscriptions.tally.changes()].map(([count, { kind, change }]) => [kind, change, count]),
      [
        ['webhook', 'created', 1],
        ['webhook', 'updated', 2],
        ['webhook', 'deleted', 1],
      ],
    );
    assert.deepEqual(
      [...subscriptions.tally.states()].map(([count, { state }]) => [state, count]),
      [
        ['active', 2],
        ['paused', 1],
      ],
    );
  });
});
