import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import type { Member, PushfleetError } from '@pushfleet/core';
import {
  entryOf,
  type Held,
  keyOf,
  listen,
  newLease,
  openRegister,
  type Published,
  replay,
  type TestRegister,
  team,
} from './testing.ts';

const kinds = (changes: readonly Published[]): string[] =>
  changes.map(({ kind, topic, subject }) => `${kind} ${topic} ${subject}`);

describe('presence', async () => {
  const redis: RedisServer = await startRedis();
  const open: TestRegister[] = [];
  let backbone: MemoryBackbone;
  const opened = async (o: Parameters<typeof openRegister>[1] = {}): Promise<TestRegister> => {
    const one = await openRegister(redis.url, { backbone, ...o });
    open.push(one);
    return one;
  };
  beforeEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
    backbone = createMemoryBackbone();
    const one = await openRegister(redis.url);
    await one.store.command('FLUSHALL');
    await one.close();
  });
  after(async () => {
    await Promise.all(open.map((one) => one.close()));
    await redis.stop();
  });

  it('enters, updates and leaves, and tells of each in order', async () => {
    const one = await opened();
    const { changes } = await listen(backbone);
    const { lease } = await one.hold();
    const alice = keyOf('rooms/1', 'alice');
    const [entered] = (await one.register.put(lease, [entryOf(alice)])) as [Member];
    const state = { state: Buffer.from('{"x": 1}'), stateContentType: 'application/json' };
    const [updated] = (await one.register.put(lease, [entryOf(alice, { status: 'away', ...state })])) as [
      Member,
    ];
    assert.equal(updated.since, entered.since);
    assert.ok(updated.revision > entered.revision);
    await one.register.put(lease, [entryOf(alice, { status: 'away', ...state })]);
    assert.deepEqual(await one.all('rooms/1'), [updated], 'the same again changes nothing');
    await one.register.leave(lease, [alice, alice, keyOf('rooms/1', 'bob')], 0);
    assert.deepEqual(await one.all('rooms/1'), []);
    await until(() => changes.length === 3, 'the changes');
    assert.deepEqual(kinds(changes), [
      'entered $presence/rooms/1 alice',
      'updated $presence/rooms/1 alice',
      'left $presence/rooms/1 alice',
    ]);
    assert.deepEqual(changes[1]?.state, { x: 1 });
    assert.equal(changes[1]?.since, new Date(entered.since).toISOString());
    assert.equal(replay(changes).size, 0);
  });

  it('lists in the order of subject and client, one subject alone, and page by page', async () => {
    const one = await opened();
    const { lease } = await one.hold();
    const names = ['a', 'a\0', 'a\u0001', 'ab', 'b', 'zoë', 'é', '\u{1F600}'];
    const keys = names.flatMap((subject) => names.map((client) => keyOf('t', subject, client)));
    await one.register.put(
      lease,
      keys.toReversed().map((key) => entryOf(key)),
    );
    const wanted = keys.map(({ subject, client }) => [subject, client]);
    for (const page of [1, 3, 64, 65]) {
      const found = await one.all('t', { page });
      assert.deepEqual(
        found.map(({ subject, client }) => [subject, client]),
        wanted,
      );
    }
    const question = { namespace: team, topic: keyOf('t', 'a').topic, subject: 'a', after: '', limit: 5 };
    const first = await one.register.list(question);
    const second = await one.register.list({ ...question, after: first.next });
    assert.deepEqual(
      [...first.members, ...second.members].map(({ subject, client }) => [subject, client]),
      names.map((client) => ['a', client]),
    );
    assert.deepEqual([first.total, second.total, second.next], [64, 64, '']);
    await assert.rejects(one.register.list({ ...question, after: 'nonsense' }), { code: 'request_invalid' });
  });

  it('passes a member on to who enters it again, and its former holder cannot take it off', async () => {
    const one = await opened();
    const { changes } = await listen(backbone);
    const [first, second] = [await one.hold(), await one.hold()];
    const alice = keyOf('t', 'alice');
    await one.register.put(first.lease, [entryOf(alice)]);
    await one.register.put(second.lease, [entryOf(alice)]);
    await one.register.leave(first.lease, [alice], 0);
    await one.register.end(first.lease);
    assert.equal((await one.all('t')).length, 1);
    await one.register.leave(second.lease, [alice], 0);
    await until(() => changes.length === 2, 'the changes');
    assert.deepEqual(kinds(changes), ['entered $presence/t alice', 'left $presence/t alice']);
  });

  it('keeps who lingers, until somebody enters it or its time is up', async () => {
    const one = await opened();
    const { changes } = await listen(backbone);
    const [first, second] = [await one.hold(), await one.hold()];
    const [alice, bob] = [keyOf('t', 'alice'), keyOf('t', 'bob')];
    await one.register.put(first.lease, [entryOf(alice), entryOf(bob)]);
    await one.register.leave(first.lease, [alice, bob], 1_000);
    await one.register.end(first.lease);
    await one.register.put(second.lease, [entryOf(alice)]);
    assert.deepEqual(
      (await one.all('t')).map(({ subject }) => subject),
      ['alice', 'bob'],
    );
    await until(() => changes.some(({ kind }) => kind === 'expired'), 'the end of the linger');
    assert.deepEqual(
      (await one.all('t')).map(({ subject }) => subject),
      ['alice'],
    );
    assert.deepEqual(kinds(changes).slice(2), ['expired $presence/t bob']);
  });

  it('lets an entry leave that outlived its time, unless it was put again', async () => {
    const one = await opened();
    const { changes } = await listen(backbone);
    const { lease } = await one.hold();
    const [alice, bob] = [keyOf('t', 'alice'), keyOf('t', 'bob')];
    await one.register.put(lease, [entryOf(alice, { ttlMs: 50 }), entryOf(bob, { ttlMs: 50 })]);
    await one.register.put(lease, [entryOf(bob, { ttlMs: 60_000 })]);
    await until(() => changes.length === 3, 'the end of alice');
    const [left] = await one.all('t');
    assert.equal(left?.subject, 'bob');
    assert.ok((left?.expiresAt ?? 0) > Date.now());
    assert.deepEqual(kinds(changes).slice(2), ['expired $presence/t alice']);
  });

  it('lets what hangs on a lease leave that is not renewed, once, with several instances at it', async () => {
    const instances = [await opened(), await opened(), await opened()] as const;
    const { changes } = await listen(backbone);
    const [dead, alive] = [await instances[0].hold(), await instances[1].hold()];
    const keys = Array.from({ length: 500 }, (_, n) => keyOf(`rooms/${n % 7}`, `s${n}`));
    const others = Array.from({ length: 70 }, (_, n) => keyOf(`rooms/${n % 7}`, `other${n}`));
    await instances[0].register.put(
      dead.lease,
      keys.map((key) => entryOf(key)),
    );
    await instances[2].register.put(
      alive.lease,
      others.map((key) => entryOf(key)),
    );
    dead.release();
    const count = async () =>
      (await Promise.all(Array.from({ length: 7 }, (_, n) => instances[1].all(`rooms/${n}`)))).flat().length;
    await until(async () => (await count()) === others.length, 'the dead to leave');
    await until(() => changes.length === 1_070, 'the changes');
    assert.equal(replay(changes).size, others.length);
    await assert.rejects(instances[2].register.put(dead.lease, [entryOf(keyOf('t', 'x'))]), {
      code: 'precondition_failed',
    });
    // It is forgotten once nothing hangs on it, and would begin anew then.
    const again = await instances[2].hold(dead.lease).catch((error: PushfleetError) => error.code);
    assert.ok(again === 'precondition_failed' || (again as Held).resumed === false);
    assert.equal((await instances[2].hold(alive.lease)).resumed, true);
  });

  it('refuses to enter under a lease that nobody holds', async () => {
    const one = await opened();
    await assert.rejects(one.register.put(newLease(), [entryOf(keyOf('t', 'x'))]), {
      code: 'precondition_failed',
    });
  });

  it('has no more members of a topic and of a namespace than it may, and takes the others', async () => {
    const one = await opened({ limits: { topic: 3, namespace: 5 } });
    const { lease } = await one.hold();
    const put = async (topic: string, ...names: string[]) =>
      (
        await one.register.put(
          lease,
          names.map((name) => entryOf(keyOf(topic, name))),
        )
      ).map((answer) => ('refused' in answer ? [answer.refused, answer.limit] : answer.subject));
    assert.deepEqual(await put('a', '1', '2'), ['1', '2']);
    assert.deepEqual(await put('a', '3', '4', '1'), ['3', ['topic', 3], '1']);
    assert.deepEqual(await put('b', '1', '2', '3', '1'), ['1', '2', ['namespace', 5], '1']);
    await one.register.leave(lease, [keyOf('a', '1')], 0);
    assert.deepEqual(await put('b', '3'), ['3']);
    assert.deepEqual(await put('a', '1'), [['namespace', 5]]);
    const elsewhere = entryOf(keyOf('a', '1', 'c1', 'team-b'));
    assert.ok(!('refused' in ((await one.register.put(lease, [elsewhere]))[0] as object)));
  });

  it('gives a retention of its policy to the changes', async () => {
    const one = await opened({ retentionMs: 60_000 });
    const { lease } = await one.hold();
    await one.register.put(lease, [entryOf(keyOf('t', 'alice'))]);
    const bus = backbone.bus(team);
    await until(() => one.register.announcer.counts.published === 1, 'the change');
    const found = [];
    const head = await bus.head();
    const filter = keyOf('$presence/t', '').topic as never;
    for await (const page of bus.replay([filter], undefined, head, AbortSignal.timeout(5_000)))
      found.push(...page);
    const [item] = found;
    assert.ok(item?.kind === 'publication' && (item.value.expiresAt ?? 0) > Date.now());
  });
});
