import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import type { Publication } from '@pushfleet/core';
import type { Session } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { Redis } from 'ioredis';
import { hotKey } from '../sessions/keys.ts';
import { refOf } from '../sessions/record.ts';
import { commitOf, fieldsOf, keyOf, SessionApi, textsOf, willOf } from '../sessions/testing.ts';
import { heard } from '../sessions/testing-register.ts';
import { type Instance, startInstance } from '../testing.ts';

describe('sessions over gRPC', () => {
  let redis: RedisServer;
  let registry: Instance;
  let other: Instance;
  let sessions: SessionApi;
  let beside: SessionApi;
  let published: Publication[];
  const backbone = createMemoryBackbone();
  const env = {
    PUSHFLEET_SESSIONS: '12',
    PUSHFLEET_SESSION_FILTERS: '3',
    PUSHFLEET_SESSION_RECORD_BYTES: '2048',
    PUSHFLEET_SESSION_STATE_BYTES: '1024',
  };
  const openGroups = () => [...backbone.log.groups.keys()].length;

  before(async () => {
    redis = await startRedis();
    const options = { redisUrl: redis.url, backbone, env };
    [registry, other] = await Promise.all([startInstance(options), startInstance(options)]);
    sessions = new SessionApi(registry.client());
    beside = new SessionApi(other.client());
    published = await heard(backbone);
  });
  after(async () => {
    sessions.close();
    beside.close();
    await Promise.all([registry.close(), other.close()]);
    await redis.stop();
  });

  it('creates, keeps what is committed, and gives it to who resumes', async () => {
    const key = keyOf('c1');
    const first = await sessions.acquire(key);
    assert.equal(first.resumed, false);
    assert.equal(first.state, undefined);
    const { generation, incarnation, owner } = first.session ?? assert.fail();
    assert.equal(owner?.instanceId, 'edge-1');
    const fields = fieldsOf({ out: '\u0001\u0002', in: 'x' });
    assert.equal(await sessions.commit(key, generation, { cursor: 'one', putFields: fields }), 'stored');
    assert.equal(
      await sessions.commit(key, generation, {
        cursor: 'two',
        putFields: fieldsOf({ in: 'y' }),
        removeFields: ['gone'],
      }),
      'stored',
    );
    assert.ok(((await sessions.release(key, generation))?.getTime() ?? 0) > Date.now() + 500_000);
    const again = await sessions.acquire(key, { instanceId: 'edge-2' });
    assert.equal(again.resumed, true);
    assert.equal(again.session?.incarnation, incarnation);
    assert.ok((again.session?.generation ?? 0n) > generation);
    assert.equal(again.state?.cursor, 'two');
    assert.deepEqual(textsOf(again.state?.fields), { out: '\u0001\u0002', in: 'y' });
    assert.equal(await sessions.commit(key, generation, { cursor: 'late' }), 'fenced');
    await sessions.end(key, { generation: again.session?.generation ?? 0n });
    await assert.rejects(sessions.get(key), { code: 'not_found' });
  });

  it('has one owner of many that acquire at once, and refuses what the others write', async () => {
    const key = keyOf('race');
    const all = Array.from({ length: 20 }, (_, n) =>
      [sessions, beside][n % 2]?.own(key, { instanceId: `edge-${n}` }),
    );
    const won = (await Promise.allSettled(all)).flatMap((one) =>
      one.status === 'fulfilled' && one.value !== undefined ? [one.value] : [],
    );
    const generations = won.map(({ generation }) => generation).toSorted((a, b) => (a < b ? -1 : 1));
    assert.equal(new Set(generations).size, won.length, 'each has a generation of its own');
    const outcomes = await Promise.all(
      generations.map((each) => beside.commit(key, each, { cursor: `${each}` })),
    );
    assert.deepEqual(outcomes, [...generations.slice(1).map(() => 'fenced'), 'stored']);
    const held = await sessions.get(key);
    assert.equal(held.generation, generations.at(-1));
    await assert.rejects(sessions.release(key, generations[0] as bigint), { code: 'conflict' });
    await sessions.end(key);
  });

  it('asks the former owner to let go before it answers, and waits for no dead one', async () => {
    const key = keyOf('taken');
    const { generation } = await sessions.own(key, { instanceId: 'one' });
    const asked: unknown[] = [];
    const stop = backbone.signals.answer('sessions.one', (question) => {
      asked.push(question);
      return true;
    });
    const next = await beside.own(key, { instanceId: 'two' });
    const { namespace, protocol, id } = key;
    assert.deepEqual(asked, [{ namespace, protocol, id, generation: String(next.generation) }]);
    stop();
    assert.ok(next.generation > generation);
    await sessions.own(key, { instanceId: 'one' });
    await sessions.end(key);
  });

  it('publishes the will of a taken session that ends by it, or whose will has no delay', async () => {
    const cases = [
      [{ expirySeconds: 600 }, 0, {}, 1],
      [{ expirySeconds: 600 }, 60, {}, 0],
      [{ expirySeconds: 600 }, 60, { clean: true }, 1],
      [{ expirySeconds: 0 }, 60, {}, 1],
    ] as const;
    for (const [n, [terms, delaySeconds, next, count]] of cases.entries()) {
      const key = keyOf(`will-${n}`);
      await sessions.own(key, { ...terms, will: willOf(`taken/${n}`, { delaySeconds }) });
      await beside.own(key, { ...next, instanceId: 'edge-2' });
      const found = published.filter(({ topic }) => topic === `taken/${n}`);
      assert.equal(found.length, count, `case ${n}`);
      await sessions.end(key, { discardWill: true });
    }
  });

  it('publishes a will without delay before a release answers, and none that is discarded', async () => {
    const key = keyOf('left');
    for (const [topic, discardWill, count] of [
      ['left/1', false, 1],
      ['left/2', true, 0],
    ] as const) {
      const { generation } = await sessions.own(key, { will: willOf(topic) });
      await sessions.release(key, generation, { discardWill });
      await sessions.release(key, generation, { discardWill });
      assert.equal(published.filter((one) => one.topic === topic).length, count, topic);
    }
    await sessions.end(key);
  });

  it('begins anew where it is asked to, or where the session ended with its connection', async () => {
    for (const [first, second] of [
      [{}, { clean: true }],
      [{ expirySeconds: 0 }, {}],
    ]) {
      const key = keyOf('anew');
      const before = await sessions.own(key, first);
      await sessions.commit(key, before.generation, { putFields: fieldsOf({ a: 'b' }) });
      const again = await beside.acquire(key, second);
      assert.equal(again.resumed, false);
      assert.equal(again.state, undefined);
      assert.notEqual(again.session?.incarnation, before.incarnation);
      assert.equal(await sessions.commit(key, before.generation, { whole: true }), 'fenced');
      await sessions.end(key);
    }
  });

  it('refuses other subjects, other generations, and to resume what is not there', async () => {
    const key = keyOf('mine');
    const { generation } = await sessions.own(key);
    await assert.rejects(sessions.acquire(key, { subject: 'mallory' }), { code: 'forbidden' });
    await assert.rejects(sessions.acquire(key, { ifGeneration: generation + 1n }), { code: 'conflict' });
    assert.equal((await sessions.acquire(key, { ifGeneration: generation })).resumed, true);
    await assert.rejects(sessions.acquire(keyOf('none'), { mustExist: true }), { code: 'not_found' });
    await assert.rejects(sessions.update(key, generation, {}), { code: 'conflict' });
    await assert.rejects(sessions.end(key, { generation }), { code: 'conflict' });
    await sessions.end(key);
    await sessions.end(key);
  });

  it('changes filters, will, expiry and attributes, and keeps what is not named', async () => {
    const key = keyOf('update');
    const { generation } = await sessions.own(key, { will: willOf('w') });
    const filter = (name: string) => ({
      filter: name,
      options: Buffer.of(1),
      startCursor: 'c',
      group: '',
      groupId: '',
    });
    await sessions.update(key, generation, { addFilters: [filter('a'), filter('b')], cursor: 'here' });
    const attributes = { secret: Buffer.from('x') };
    await sessions.update(key, generation, { removeFilters: [{ filter: 'a', group: '' }], attributes });
    const last = await sessions.update(key, generation, {
      willChange: { $case: 'clearWill', clearWill: true },
      expirySeconds: 5,
    });
    assert.deepEqual(
      last.filters.map((one) => one.filter),
      ['b'],
    );
    assert.equal(last.will, undefined);
    assert.deepEqual([last.expirySeconds, last.cursor, last.generation], [5, 'here', generation]);
    assert.deepEqual(textsOf(last.attributes), { secret: 'x' });
    const cleared = await sessions.update(key, generation, { attributes: { secret: Buffer.alloc(0) } });
    assert.deepEqual(cleared.attributes, {});
    await sessions.end(key);
  });

  it('applies an update once, and not behind a later one', async () => {
    const key = keyOf('numbered');
    const { generation, lastUpdate } = await sessions.own(key);
    assert.equal(lastUpdate, 0n);
    const first = { number: 1n, expirySeconds: 10 };
    const second = { number: 2n, expirySeconds: 20 };
    assert.equal((await sessions.update(key, generation, first)).expirySeconds, 10);
    assert.equal((await sessions.update(key, generation, second)).expirySeconds, 20);
    for (const late of [first, { ...second, expirySeconds: 30 }]) {
      const { expirySeconds, lastUpdate: number } = await sessions.update(key, generation, late);
      assert.deepEqual([expirySeconds, number], [20, 2n]);
    }
    const { session: again } = await sessions.acquire(key);
    assert.equal(again?.lastUpdate, 2n);
    await sessions.end(key);
  });

  it('does not apply a commit that was held up, nor one that is too large', async () => {
    const key = keyOf('order');
    const { generation } = await sessions.own(key);
    const put = (text: string, number: bigint, rest = {}) =>
      sessions.commit(key, generation, { putFields: fieldsOf({ a: text }), number, ...rest });
    for (const number of [1n, 2n, 1n]) assert.equal(await put(String(number), number), 'stored');
    assert.equal(await put('x'.repeat(1_023), 3n), 'stored', 'at the limit');
    assert.equal(await put('x'.repeat(1_024), 4n), 'too_large');
    assert.equal(await put('y', 5n, { whole: true, cursor: 'c' }), 'stored');
    const { state } = await sessions.acquire(key);
    assert.deepEqual([state?.cursor, textsOf(state?.fields)], ['c', { a: 'y' }]);
    await sessions.end(key);
  });

  it('tells an owner that its state is lost, and takes the whole again', async () => {
    const key = keyOf('lost');
    const { generation } = await sessions.own(key);
    await sessions.commit(key, generation, { putFields: fieldsOf({ a: 'b' }) });
    const fillings = [registry, other].map((instance) => instance.sessions.filling.counts);
    const before = fillings.map(({ filled }) => filled);
    await redis.restart({ empty: true });
    const commit = (rest: object) => sessions.commit(key, generation, rest);
    await until(async () => (await commit({ cursor: 'x' })) === 'lost', 'LOST');
    assert.equal(await commit({ putFields: fieldsOf({ a: 'c' }), whole: true }), 'stored');
    assert.equal(await commit({ cursor: 'y' }), 'stored');
    assert.deepEqual(textsOf((await sessions.acquire(key)).state?.fields), { a: 'c' });
    await sessions.end(key);
    // While one fills the index, groups are neither opened nor closed, which others look at.
    const isFilled = () => fillings.every(({ filled }, i) => filled > (before[i] as number));
    await until(isFilled, 'both to have filled the index');
  });

  it('finds out that Redis has gone back, by the commit that is missing', async () => {
    const key = keyOf('back');
    const { generation } = await sessions.own(key);
    const put = (text: string, number: bigint, rest = {}) =>
      sessions.commit(key, generation, { putFields: fieldsOf({ [text]: text }), number, ...rest });
    assert.equal(await put('a', 1n), 'stored');
    const hash = hotKey(refOf(key));
    const client = new Redis(redis.url);
    const before = await client.dumpBuffer(hash);
    assert.equal(await put('b', 2n), 'stored');
    await client.restore(hash, 0, before, 'REPLACE');
    client.disconnect();
    assert.equal(await put('c', 3n), 'lost');
    assert.equal(await put('c', 4n, { whole: true }), 'stored');
    assert.equal(await put('d', 5n), 'stored');
    assert.deepEqual(textsOf((await sessions.acquire(key)).state?.fields), { c: 'c', d: 'd' });
    await sessions.end(key);
  });

  for (const { what, lastCommit, back, wanted } of [
    { what: 'gives', lastCommit: 2n, back: 0, wanted: { a: 'a', b: 'b' } },
    { what: 'does not give', lastCommit: 2n, back: 1, wanted: {} },
    { what: 'gives, where nobody says what there was,', lastCommit: 0n, back: 1, wanted: { a: 'a' } },
  ])
    it(`${what} the state of a released session ${back} commits behind`, async () => {
      const key = keyOf(`back-${back}-${lastCommit}`);
      const { generation } = await sessions.own(key);
      const hash = hotKey(refOf(key));
      const client = new Redis(redis.url);
      const dumps: Buffer[] = [];
      for (const [index, text] of ['a', 'b'].entries()) {
        await sessions.commit(key, generation, {
          putFields: fieldsOf({ [text]: text }),
          number: BigInt(index + 1),
        });
        dumps.push(await client.dumpBuffer(hash));
      }
      await sessions.release(key, generation, { lastCommit });
      await client.restore(hash, 0, dumps.at(-1 - back) as Buffer, 'REPLACE');
      client.disconnect();
      const { state, resumed, session } = await sessions.acquire(key);
      assert.deepEqual([resumed, textsOf(state?.fields)], [true, wanted]);
      assert.equal(session?.lastCommit, 0n);
      await sessions.end(key);
    });

  it('lists in the order of ids, by protocol, subject and beginning, page by page', async () => {
    const made: Session[] = [];
    for (const [id, protocol, subject] of [
      ['b/1', 'mqtt', 'bob'],
      ['a/2', 'mqtt', 'alice'],
      ['a/1', 'mqtt', 'alice'],
      ['a/é', 'mqtt', 'alice'],
      ['a/1', 'xmpp', 'alice'],
    ] as const) {
      made.push(await sessions.own(keyOf(id, protocol), { subject }));
    }
    assert.deepEqual(await sessions.ids(), ['a/1', 'a/2', 'a/é', 'b/1', 'a/1']);
    assert.deepEqual(await sessions.ids({ pageSize: 2 }), ['a/1', 'a/2', 'a/é', 'b/1', 'a/1']);
    assert.deepEqual(await beside.ids({ protocol: 'mqtt', idPrefix: 'a/', pageSize: 1 }), [
      'a/1',
      'a/2',
      'a/é',
    ]);
    assert.deepEqual(await sessions.ids({ subject: 'bob' }), ['b/1']);
    assert.deepEqual(await sessions.ids({ protocol: 'coap' }), []);
    await assert.rejects(sessions.list({ pageToken: '!' }), { code: 'request_invalid' });
    await assert.rejects(sessions.list({ pageSize: 1_001 }), { code: 'request_invalid' });
    for (const { key } of made) await sessions.end(key as never);
    assert.deepEqual(await sessions.ids(), []);
  });

  it('opens a group for the first session, closes it behind the last, and gives the next another id', async () => {
    const shared = {
      filter: 'g/#',
      group: 'g',
      options: Buffer.alloc(0),
      startCursor: '',
      groupId: 'theirs',
    };
    const join = async (id: string, api = sessions) => {
      const { generation } = await api.own(keyOf(id));
      const { filters } = await api.update(keyOf(id), generation, { addFilters: [shared] });
      return { generation, groupId: filters[0]?.groupId ?? '' };
    };
    const before = openGroups();
    const [one, two] = [await join('g1'), await join('g2', beside)];
    assert.equal(one.groupId, two.groupId);
    assert.equal(openGroups(), before + 1);
    await sessions.update(keyOf('g1'), one.generation, { removeFilters: [{ filter: 'g/#', group: 'g' }] });
    assert.equal(openGroups(), before + 1);
    await beside.end(keyOf('g2'), { generation: two.generation });
    assert.equal(openGroups(), before);
    const three = await join('g1');
    assert.notEqual(three.groupId, one.groupId);
    assert.equal((await sessions.acquire(keyOf('g1'), { clean: true })).session?.filters.length, 0);
    assert.equal(openGroups(), before);
    await sessions.end(keyOf('g1'));
  });

  it('keeps a group open whenever it has a member, however joins and leaves cross', async () => {
    const shared = { filter: 'r', group: 'g', options: Buffer.alloc(0), startCursor: '', groupId: '' };
    const keys = ['r1', 'r2', 'r3'].map((id) => keyOf(id));
    const owned = await Promise.all(keys.map((key) => sessions.own(key)));
    const before = openGroups();
    for (let round = 0; round < 15; round++) {
      const held = await Promise.all(
        keys.map(async (key, n) => {
          const api = n % 2 === 0 ? sessions : beside;
          const { generation } = owned[n] as Session;
          await api.update(key, generation, { addFilters: [shared] });
          const leaves = (round + n) % 3 !== 0;
          const removeFilters = leaves ? [{ filter: 'r', group: 'g' }] : [];
          return api.update(key, generation, { removeFilters });
        }),
      );
      const ids = new Set(held.flatMap(({ filters }) => filters.map(({ groupId }) => groupId)));
      assert.equal(ids.size, 1);
      assert.deepEqual(
        [...ids].map((id) => [...backbone.log.groups.keys()].some((open) => open.includes(id))),
        [true],
      );
      assert.equal(openGroups(), before + 1);
      await Promise.all(
        keys.map((key, n) =>
          sessions.update(key, owned[n]?.generation ?? 0n, { removeFilters: [{ filter: 'r', group: 'g' }] }),
        ),
      );
      assert.equal(openGroups(), before);
    }
    for (const key of keys) await sessions.end(key);
  });

  it('has no more sessions, filters and bytes than it may', async () => {
    const keys = Array.from({ length: 13 }, (_, n) => keyOf(`n${n}`));
    const made = await Promise.allSettled(keys.map((key) => sessions.own(key)));
    const refused = made.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []));
    assert.deepEqual(refused, ['too_many_connections']);
    const at = made.findIndex(({ status }) => status === 'fulfilled');
    const key = keys[at] as (typeof keys)[0];
    const { generation } = (made[at] as PromiseFulfilledResult<Session>).value;
    const add = (...names: string[]) =>
      sessions.update(key, generation, {
        addFilters: names.map((filter) => ({
          ...{ filter, options: Buffer.alloc(0), startCursor: '', group: '', groupId: '' },
        })),
      });
    await add('a', 'b');
    assert.equal((await add('c')).filters.length, 3);
    assert.equal((await add('c')).filters.length, 3, 'one that is there is replaced');
    await assert.rejects(add('d'), { code: 'too_many_filters' });
    const secret = (bytes: number) =>
      sessions.update(key, generation, { attributes: { secret: Buffer.alloc(bytes) } });
    await secret(1_500);
    await assert.rejects(secret(2_048), { code: 'payload_too_large' });
    for (const each of keys) await sessions.end(each);
    await sessions.end(await sessions.own(keyOf('room')).then(({ key: name }) => name as never));
  });

  it('holds a namespace to its quota and to the limit of all, whichever is smaller', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'pushfleet-'));
    const file = join(directory, 'policies.json');
    const quotas = [
      { namespace: 'few', sessions: 2 },
      { namespace: 'many', sessions: 4 },
    ];
    writeFileSync(file, JSON.stringify({ quotas }));
    const limited = await startInstance({
      ...{ redisUrl: redis.url, backbone },
      env: { PUSHFLEET_POLICIES_FILE: file, PUSHFLEET_SESSIONS: '3' },
    });
    const api = new SessionApi(limited.client());
    for (const [namespace, most] of [
      ['few', 2],
      ['many', 3],
    ] as const) {
      const keys = Array.from({ length: most }, (_, n) => keyOf(`q${n}`, 'mqtt', namespace));
      for (const key of keys) await api.own(key);
      await assert.rejects(api.own(keyOf('beyond', 'mqtt', namespace)), {
        code: 'too_many_connections',
        message: new RegExp(`has ${most} sessions, and ${most} is the most`),
      });
      assert.equal((await api.acquire(keys[0] as (typeof keys)[0])).resumed, true, 'a resume takes no room');
      for (const key of keys) await api.end(key);
    }
    api.close();
    await limited.close();
    rmSync(directory, { recursive: true });
  });

  const refusals: readonly (readonly [string, string, () => Promise<unknown>])[] = [
    ['no key', 'request_invalid', () => sessions.acquire(undefined as never)],
    ['an empty id', 'request_invalid', () => sessions.acquire(keyOf(''))],
    ['a long id', 'request_invalid', () => sessions.acquire(keyOf('x'.repeat(1_025)))],
    ['a protocol in capitals', 'request_invalid', () => sessions.acquire(keyOf('a', 'MQTT'))],
    ['a long protocol', 'request_invalid', () => sessions.acquire(keyOf('a', 'm'.repeat(17)))],
    ['a namespace', 'forbidden', () => sessions.acquire(keyOf('a', 'mqtt', 'no namespace'))],
    ['no instance', 'request_invalid', () => sessions.acquire(keyOf('a'), { instanceId: '' })],
    [
      'a long instance',
      'request_invalid',
      () => sessions.acquire(keyOf('a'), { instanceId: 'x'.repeat(81) }),
    ],
    ['no subject', 'request_invalid', () => sessions.acquire(keyOf('a'), { subject: '' })],
    ['a will to a filter', 'topic_invalid', () => sessions.acquire(keyOf('a'), { will: willOf('a/#') })],
    [
      'long options',
      'request_invalid',
      () =>
        sessions.update(keyOf('a'), 1n, {
          addFilters: [{ filter: 'a', options: Buffer.alloc(257), startCursor: '', group: '', groupId: '' }],
        }),
    ],
    [
      'a large field',
      'request_invalid',
      () => sessions.commit(keyOf('a'), 1n, { putFields: { a: Buffer.alloc(65_537) } }),
    ],
    [
      'a long name of a field',
      'request_invalid',
      () => sessions.commit(keyOf('a'), 1n, { removeFields: ['x'.repeat(65)] }),
    ],
    [
      'one session twice',
      'request_invalid',
      () => sessions.commitAll([commitOf(keyOf('a'), 1n), commitOf(keyOf('a'), 1n)]),
    ],
    [
      'too many commits',
      'request_invalid',
      () => sessions.commitAll(Array.from({ length: 1_001 }, (_, n) => commitOf(keyOf(`${n}`), 1n))),
    ],
  ];
  for (const [what, code, ask] of refusals) {
    it(`refuses ${what}`, () => assert.rejects(ask(), { code }));
  }

  it('takes what is just within the limits', async () => {
    const key = keyOf('x'.repeat(1_024), 'm'.repeat(16));
    const { generation } = await sessions.own(key, { instanceId: 'x'.repeat(80) });
    assert.equal(await sessions.commit(key, generation, { removeFields: ['x'.repeat(64)] }), 'stored');
    const many = Array.from({ length: 1_000 }, (_, n) => commitOf(keyOf(`${n}`), 1n));
    assert.deepEqual(new Set(await sessions.commitAll(many)), new Set(['lost']));
    await sessions.end(key);
  });
});
