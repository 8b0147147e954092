import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { startRedis, until } from '@pushfleet/contract';
import type { Member, Topic, TopicFilter } from '@pushfleet/core';
import type { PresenceChange } from '@pushfleet/proto/pushfleet/registry/v1/presence';
import { prefixOf } from './keys.ts';
import { presenceLimits } from './limits.ts';
import { entryOf, keyOf, listen, openRegister, replay, team } from './testing.ts';

describe('pages of members that come and go', async () => {
  const redis = await startRedis();
  const backbone = createMemoryBackbone();
  const instances = await Promise.all([1, 2, 3].map(() => openRegister(redis.url, { backbone })));
  after(async () => {
    await Promise.all(instances.map((one) => one.close()));
    await redis.stop();
  });
  const name = (n: number): string => `s${String(n).padStart(4, '0')}`;

  it('have everybody once who is there all the while, in order, whoever comes and goes beside them', async () => {
    const [one, two, three] = instances as [
      (typeof instances)[0],
      (typeof instances)[0],
      (typeof instances)[0],
    ];
    const heard = await listen(backbone, team);
    const [steady, restless] = [await one.hold(), await two.hold()];
    const stay = Array.from({ length: 400 }, (_, n) => keyOf('t', name(2 * n)));
    const roam = Array.from({ length: 400 }, (_, n) => keyOf('t', name(2 * n + 1)));
    await one.register.put(
      steady.lease,
      stay.map((key) => entryOf(key)),
    );
    let over = false;
    const churn = async (): Promise<void> => {
      for (let n = 0; !over; n++) {
        const some = roam.filter((_, index) => index % 3 === n % 3);
        await two.register.put(
          restless.lease,
          some.map((key) => entryOf(key)),
        );
        await two.register.leave(restless.lease, some.slice(n % 50), 0);
        const changed = stay.slice(n % 300, (n % 300) + 20);
        const status = n % 2 === 0 ? 'away' : 'busy';
        await one.register.put(
          steady.lease,
          changed.map((key) => entryOf(key, { status })),
        );
      }
    };
    const churning = churn();
    for (let round = 0; round < 10; round++) {
      const found = (await three.all('t', { page: 7 + 10 * round })).map(({ subject }) => subject);
      assert.deepEqual(found, found.toSorted());
      assert.equal(new Set(found).size, found.length);
      const lasting = new Set(stay.map(({ subject }) => subject));
      assert.equal(found.filter((subject) => lasting.has(subject)).length, stay.length);
    }
    over = true;
    await churning;
    await two.register.end(restless.lease);
    await until(() => replay(heard.changes).size === stay.length, 'the changes');
    assert.equal((await three.all('t')).length, stay.length);
  });
});

describe('pages of large members', async () => {
  const redis = await startRedis();
  const backbone = createMemoryBackbone();
  const one = await openRegister(redis.url, { backbone, limits: { lists: 3 } });
  const { lease } = await one.hold();
  after(async () => {
    await one.close();
    await redis.stop();
  });
  const ask = (topic: string, o: { readonly limit?: number; readonly after?: string } = {}) =>
    one.register.list({
      ...{ namespace: team, topic: topic as Topic, subject: '', after: '', limit: presenceLimits.pageMost },
      ...o,
    });
  const pad = (n: number): string => String(n).padStart(4, '0');
  const idOf = ({ client }: Pick<Member, 'client'>): string => client;
  const sizes = async (topic: string): Promise<number[]> => {
    const records = (await one.store.command('ZRANGE', `${prefixOf(team)}t:${topic}`, 0, -1)) as string[];
    return records.map((record) => Buffer.byteLength(record));
  };
  /** Members whose records have so many bytes each. */
  const enter = async (topic: string, records: readonly number[]): Promise<string[]> => {
    const state = Buffer.alloc(1_024, 1);
    const entry = (n: number, type: number) =>
      entryOf(keyOf(topic, 's', pad(n)), { state, stateContentType: 't'.repeat(type) });
    await one.register.put(lease, [entry(0, 1)]);
    const [least] = (await sizes(topic)) as [number];
    await one.register.put(
      lease,
      records.map((bytes, n) => entry(n, 1 + bytes - least)),
    );
    assert.deepEqual(await sizes(topic), records);
    return records.map((_, n) => pad(n));
  };
  const each = presenceLimits.pageBytes / 64;

  it('end before the member that goes beyond the bytes, and not before', async () => {
    const below = await enter('below', [...new Array(63).fill(each), each - 1]);
    const at = await enter('at', new Array(64).fill(each));
    const above = await enter('above', [...new Array(63).fill(each), each + 1]);
    for (const [topic, ids] of [
      ['below', below],
      ['at', at],
    ] as const) {
      const { members, next } = await ask(topic);
      assert.deepEqual([members.map(idOf), next], [ids, '']);
    }
    const first = await ask('above');
    assert.deepEqual(first.members.map(idOf), above.slice(0, 63));
    assert.equal(first.total, 64);
    const second = await ask('above', { after: first.next });
    assert.deepEqual([second.members.map(idOf), second.next], [above.slice(63), '']);
  });

  it('have one member where it alone goes beyond', async () => {
    const ids = await enter('giants', [presenceLimits.pageBytes + 1, each, presenceLimits.pageBytes]);
    for (let at = 0, place = ''; at < ids.length; at++) {
      const { members, next } = await ask('giants', { after: place });
      assert.deepEqual(members.map(idOf), [ids[at]]);
      assert.equal(next === '', at === ids.length - 1);
      place = next;
    }
  });

  it('have everybody once, by count and by bytes', async () => {
    const ids = await enter(
      'many',
      Array.from({ length: 500 }, (_, n) => 2_000 + ((n * 997) % 6_000)),
    );
    for (const page of [1, 31, 32, 33, 64, 1_000])
      assert.deepEqual((await one.all('many', { page })).map(idOf), ids);
    for (const limit of [31, 32, 33]) {
      await enter(`count${limit}`, new Array(32).fill(each));
      const { members, next } = await ask(`count${limit}`, { limit });
      assert.deepEqual([members.length, next === ''], [Math.min(limit, 32), limit >= 32]);
    }
    const snapshot = Promise.withResolvers<readonly PresenceChange[]>();
    const stop = one.register.watching.watch(team, 'many' as TopicFilter, {
      ...{ onSnapshot: snapshot.resolve, onChange() {}, onEnd: snapshot.reject },
    });
    assert.deepEqual(
      (await snapshot.promise).map(({ presence }) => presence?.key?.clientId),
      ids,
    );
    stop();
  });

  it('are answered within the budget of an instance', async () => {
    await enter('busy', [each]);
    const codes = async (count: number) =>
      (await Promise.allSettled(Array.from({ length: count }, () => ask('busy')))).map((answer) =>
        answer.status === 'fulfilled' ? answer.value.total : answer.reason.code,
      );
    assert.deepEqual(await codes(2), [1, 1]);
    assert.deepEqual(await codes(3), [1, 1, 1]);
    assert.deepEqual(await codes(5), [1, 1, 1, 'rate_limited', 'rate_limited']);
    for (let n = 0; n < 4; n++)
      await assert.rejects(ask('busy', { after: '?' }), { code: 'request_invalid' });
    assert.deepEqual(await codes(3), [1, 1, 1], 'also who failed is over');
  });
});
