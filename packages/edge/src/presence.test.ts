import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectJetStream, migrate } from '@pushfleet/bus';
import {
  type NatsCluster,
  type RedisServer,
  type ServiceProcess,
  startNats,
  startRedis,
  startService,
  until,
} from '@pushfleet/contract';
import {
  type Member,
  type Namespace,
  PushfleetError,
  type Topic,
  type TopicFilter,
  textOf,
} from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import type { Presence } from './presence.ts';
import { secret } from './testing.ts';
import { grantOf, startProxy, testEdge } from './testing-presence.ts';

const streams = {
  shards: 1,
  replicas: 1,
  maxAgeMs: 3_600_000,
  maxBytes: 67_108_864,
  duplicateWindowMs: 120_000,
};
const room = (n: number | string): Topic => `rooms/${n}` as Topic;
const client = (id: string, connection = id) => ({ id, connection });

interface Change {
  readonly id: string;
  readonly topic: string;
  readonly kind: string;
  readonly subject: string;
  readonly client: string;
  readonly revision: number;
}

describe('presence of an edge', () => {
  let nats: NatsCluster;
  let redis: RedisServer;
  let registries: ServiceProcess[];
  let proxy: Awaited<ReturnType<typeof startProxy>>;
  let backbone: ReturnType<typeof connectJetStream>;
  let alice: Grant;
  let bob: Grant;
  const changes: Change[] = [];
  const edges: Presence[] = [];

  const env = (): Record<string, string> => ({
    PUSHFLEET_TOKEN_SECRET: secret,
    PUSHFLEET_NATS_URL: nats.url,
    PUSHFLEET_REDIS_URL: redis.url,
    PUSHFLEET_PRESENCE_EXPIRY_SECONDS: '10',
    PUSHFLEET_PRESENCE_MEMBERS: '600',
  });
  const registry = () => startService('registry', env());
  const edge = async (o: Partial<Parameters<typeof testEdge>[0]> = {}): Promise<Presence> => {
    const one = testEdge({ registryUrl: proxy.url, ...o });
    edges.push(one);
    await one.start();
    return one;
  };
  const everybody = async (on: Presence, topic: Topic): Promise<Member[]> => {
    const members: Member[] = [];
    for (let page = await on.list(alice, topic, { limit: 100 }); ; ) {
      members.push(...page.members);
      if (page.next === undefined) return members;
      page = await on.list(alice, topic, { limit: 100, after: page.next });
    }
  };
  const heard = (topic: Topic): string[] =>
    changes
      .filter((change) => change.topic === `$presence/${topic}`)
      .map(({ kind, subject, client: id }) => `${kind} ${subject} ${id}`);

  before(async () => {
    [nats, redis] = await Promise.all([startNats(), startRedis()]);
    await migrate({ servers: nats.url, ...streams });
    registries = await Promise.all([registry(), registry()]);
    proxy = await startProxy(() => registries.map(({ addresses }) => addresses.grpc as string));
    [alice, bob] = await Promise.all([grantOf('alice'), grantOf('bob')]);
    backbone = connectJetStream({ servers: nats.url, name: 'test' });
    await backbone.start();
    const seen = new Set<string>();
    const following = backbone.bus('team-a' as Namespace).follow((item) => {
      assert.equal(item.kind, 'publication');
      if (item.kind !== 'publication') return;
      const change = {
        ...JSON.parse(textOf(item.value.payload)),
        id: item.value.id,
        topic: item.value.topic,
      };
      assert.ok(!seen.has(change.id), `${change.id} was stored once`);
      seen.add(change.id);
      changes.push(change);
    });
    await following.add('$presence/#' as TopicFilter);
  });
  afterEach(async () => {
    await Promise.all(edges.splice(0).map((one) => one.close()));
  });
  after(async () => {
    await backbone.close();
    proxy.close();
    await Promise.all(registries.map((one) => one.kill('SIGKILL')));
    await Promise.all([redis.stop(), nats.stop()]);
  });

  it('enters, updates, lists and leaves', async () => {
    const one = await edge();
    const topic = room('basic');
    const entered = await one.enter(alice, topic, client('c1'), {});
    assert.deepEqual([entered.subject, entered.client, entered.status], ['alice', 'c1', 'online']);
    await one.enter(bob, topic, client('c2'), {
      status: 'busy',
      state: Buffer.from('x'),
      stateContentType: 'text/plain',
    });
    const updated = await one.update(alice, topic, client('c1'), { status: 'away' });
    assert.deepEqual([updated.status, updated.since], ['away', entered.since]);
    const { members, total, next } = await one.list(alice, topic, {});
    assert.deepEqual(
      members.map(({ subject, status }) => `${subject} ${status}`),
      ['alice away', 'bob busy'],
    );
    assert.deepEqual([total, next], [2, undefined]);
    assert.equal(textOf((members[1] as Member).state), 'x');
    await one.leave(alice, topic, client('c1', 'another connection'));
    assert.equal((await everybody(one, topic)).length, 2, 'what entered by another connection stays');
    await one.leave(alice, topic, client('c1'));
    await one.leave(alice, topic, client('c1'));
    await assert.rejects(one.update(alice, topic, client('c1'), {}), { code: 'not_found' });
    await assert.rejects(one.update(bob, topic, client('another', 'c2'), {}), (error: Error) => {
      assert.match(error.message, /"rooms\/basic" as client "another"; .*the same client as in enter/);
      return true;
    });
    await until(() => heard(topic).length === 4, 'the changes');
    assert.deepEqual(heard(topic), [
      'entered alice c1',
      'entered bob c2',
      'updated alice c1',
      'left alice c1',
    ]);
  });

  it('refuses without a grant, against a policy, and what is too much', async () => {
    const one = await edge({ topics: 2 });
    const refused = (code: string, message: RegExp) => (error: unknown) => {
      assert.ok(error instanceof PushfleetError);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    };
    const me = client('c1');
    await assert.rejects(one.enter(alice, 'closed' as Topic, me, {}), refused('forbidden', /"presence"/));
    await assert.rejects(one.list(alice, 'closed' as Topic, {}), refused('forbidden', /"presence"/));
    await assert.rejects(
      one.enter(alice, 'silent/1' as Topic, me, {}),
      refused('forbidden', /policy for "silent\/#"/),
    );
    await assert.rejects(
      one.enter(alice, '$sys/1' as Topic, me, {}),
      refused('topic_invalid', /fleet's own/),
    );
    const long = (bytes: number) => `rooms/${'t'.repeat(bytes - 6)}` as Topic;
    await one.enter(alice, long(1_014), me, {});
    await one.leave(alice, long(1_014), me);
    await assert.rejects(one.enter(alice, long(1_015), me, {}), refused('topic_invalid', /1014/));
    const state = (bytes: number) => ({
      state: Buffer.alloc(bytes, 1),
      stateContentType: 'application/octet-stream',
    });
    assert.equal((await one.enter(alice, room('limits'), me, state(4_096))).state.length, 4_096);
    await assert.rejects(
      one.enter(alice, room('limits'), me, state(4_097)),
      refused('payload_too_large', /4096/),
    );
    await assert.rejects(
      one.enter(alice, room('limits'), client(''), {}),
      refused('request_invalid', /1 to 1024/),
    );
    await one.enter(alice, room('limits'), client('é'.repeat(512), 'c2'), {});
    await assert.rejects(
      one.enter(alice, room('limits'), client('x'.repeat(1_025)), {}),
      refused('request_invalid', /1025/),
    );
    await one.enter(alice, room('limits2'), me, {});
    await assert.rejects(one.enter(alice, room('limits3'), me, {}), refused('rate_limited', /at most 2/));
    await one.enter(alice, room('limits2'), me, { status: 'away' });
    await assert.rejects(
      one.list(alice, room('limits'), { limit: 1_001 }),
      refused('request_invalid', /1000/),
    );
    const alone = await edge({ registryUrl: undefined });
    await assert.rejects(
      alone.enter(alice, room(1), me, {}),
      refused('unavailable', /PUSHFLEET_REGISTRY_URL/),
    );
  });

  it('gives large members on more pages, and enters while many ask for them', async () => {
    const one = await edge();
    const [topic, other] = [room('large'), room('beside')];
    const state = { state: Buffer.alloc(4_096, 'x'), stateContentType: 'text/plain' };
    const ids = Array.from({ length: 200 }, (_, n) => `c${String(n).padStart(3, '0')}`);
    await Promise.all(ids.map((id) => one.enter(alice, topic, client(id), state)));
    const ask = () => one.list(alice, topic, { limit: 1_000 });
    const { members, next, total } = await ask();
    assert.equal(total, 200);
    assert.ok(members.length >= 1 && members.length < 100 && next !== undefined);
    assert.deepEqual(
      (await everybody(one, topic)).map(({ client: id }) => id),
      ids,
    );
    let answered = 0;
    const asked = Array.from({ length: 140 }, () => ask().finally(() => answered++));
    const told = Promise.allSettled(asked);
    await one.enter(bob, other, client('b'), {});
    await one.list(bob, other, {});
    assert.ok(answered < asked.length, 'neither waits for the lists of another subject');
    const refused = (await told).flatMap((answer) =>
      answer.status === 'rejected' ? [answer.reason.code] : [],
    );
    assert.deepEqual(refused, new Array(10).fill('rate_limited'), '2 under way and 128 that wait');
  });

  it('keeps the members of a topic within its limit, and takes the others of the same call', async () => {
    const one = await edge();
    const answers = await Promise.allSettled(
      Array.from({ length: 602 }, (_, n) => one.enter(alice, room('full'), client(`c${n}`), {})),
    );
    const refused = answers.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    assert.deepEqual(
      refused.map(({ reason }) => reason.code),
      ['storage_full', 'storage_full'],
    );
    assert.equal((await everybody(one, room('full'))).length, 600);
    one.leaveAll('c0', 'left');
    await until(async () => (await one.list(alice, room('full'), {})).total === 599, 'room');
    await one.enter(alice, room('full'), client('c601'), {});
  });

  it('lets members linger whose connection was lost, and nobody hears of who comes back', async () => {
    const [one, two] = [await edge({ lingerMs: 2_000 }), await edge()];
    const topic = room('linger');
    await Promise.all([
      one.enter(alice, topic, client('a', '1'), {}),
      one.enter(bob, topic, client('b', '2'), {}),
    ]);
    one.leaveAll('1', 'lost');
    one.leaveAll('2', 'lost');
    await two.enter(alice, topic, client('a', '3'), {});
    await one.close();
    assert.equal((await everybody(two, topic)).length, 2);
    await until(async () => (await everybody(two, topic)).length === 1, 'the end of the linger');
    await until(() => heard(topic).length === 3, 'the changes');
    assert.deepEqual(heard(topic).toSorted(), ['entered alice a', 'entered bob b', 'expired bob b']);
    await assert.rejects(one.enter(alice, topic, client('a'), {}), { code: 'draining' });
  });

  it('lets members linger for as long as their client has said, an hour at most', async () => {
    const one = await edge({ lingerMs: 0 });
    const topic = room('said');
    await one.enter(alice, topic, client('a', '1'), {});
    await one.enter(bob, topic, client('b', '2'), {});
    one.leaveAll('1', { lingerMs: 36_000_000 });
    one.leaveAll('2', { lingerMs: 1_000 });
    await until(() => heard(topic).includes('expired bob b'), 'the end of the linger');
    assert.deepEqual(
      (await everybody(one, topic)).map(({ subject }) => subject),
      ['alice'],
    );
  });

  it('leaves with its connection at once where the client said goodbye, and not by a former connection', async () => {
    const one = await edge();
    const topic = room('goodbye');
    await one.enter(alice, topic, client('a', 'old'), {});
    await one.enter(alice, topic, client('a', 'new'), {});
    one.leaveAll('old', 'left');
    assert.equal((await everybody(one, topic)).length, 1);
    one.leaveAll('new', 'left');
    await until(async () => (await everybody(one, topic)).length === 0, 'the leave');
    await until(() => heard(topic).length === 2, 'the changes');
    assert.deepEqual(heard(topic), ['entered alice a', 'left alice a']);
  });

  it('loses no member and no change when a registry is killed in the middle', {
    timeout: 120_000,
  }, async () => {
    const one = await edge();
    const topic = room('killed');
    const told: Promise<unknown>[] = [];
    for (let n = 0; n < 300; n++) {
      const me = client(`c${n}`, `connection ${n}`);
      const lived = async (): Promise<void> => {
        await one.enter(alice, topic, me, {});
        await one.update(alice, topic, me, { status: 'away' });
        if (n % 3 === 0) await one.leave(alice, topic, me);
      };
      told.push(lived());
      if (n === 150) {
        const [first, second] = registries as [ServiceProcess, ServiceProcess];
        await until(() => heard(topic).length > 20, 'the first changes');
        await first.kill('SIGKILL');
        registries = [second];
      }
    }
    await Promise.all(told);
    const there = await everybody(one, topic);
    assert.equal(there.length, 200);
    assert.ok(there.every(({ status }) => status === 'away'));
    await until(() => heard(topic).length === 700, 'all changes');
    const steps = new Map<string, string>();
    for (const line of heard(topic)) {
      const [kind, , id = ''] = line.split(' ');
      steps.set(id, `${steps.get(id) ?? ''}${kind} `);
    }
    for (const [id, line] of steps) {
      assert.equal(line, Number(id.slice(1)) % 3 === 0 ? 'entered updated left ' : 'entered updated ');
    }
    registries = [...registries, await registry()];
  });

  it('enters everybody again when Redis comes back empty', { timeout: 120_000 }, async () => {
    const [one, two] = [await edge(), await edge()];
    const topics = [room('empty'), room('empty2')];
    const entered = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        (n % 2 === 0 ? one : two).enter(n % 3 === 0 ? alice : bob, topics[n % 2] as Topic, client(`c${n}`), {
          status: 'busy',
        }),
      ),
    );
    await redis.restart({ empty: true });
    await until(async () => (await everybody(one, room('empty'))).length === 50, 'the members of one');
    await until(async () => (await everybody(one, room('empty2'))).length === 50, 'the members of two');
    const first = entered.find(({ client: id }) => id === 'c0') as Member;
    const again = (await everybody(one, room('empty'))).find(({ client: id }) => id === 'c0') as Member;
    assert.deepEqual([again.status, again.since], ['busy', first.since]);
    assert.ok(again.revision > first.revision);
    await one.leave(alice, room('empty'), client('c0'));
    await until(() => heard(room('empty')).at(-1) === 'left alice c0', 'the leave');
  });

  it('tells of a leave that came while Redis was away and forgot', { timeout: 120_000 }, async () => {
    const one = await edge();
    const topic = room('away');
    await one.enter(alice, topic, client('a'), {});
    await until(() => heard(topic).length === 1, 'the entry');
    await redis.kill('SIGKILL');
    one.leaveAll('a', 'left');
    await assert.rejects(one.enter(bob, topic, client('b'), {}), { code: 'unavailable' });
    await redis.restart({ empty: true });
    await until(() => heard(topic).at(-1) === 'left alice a', 'the leave');
    await until(async () => (await everybody(one, topic)).length === 0, 'nobody');
  });

  it('lets the members of a killed edge expire, and no other', { timeout: 120_000 }, async () => {
    const file = fileURLToPath(new URL('testing-presence.ts', import.meta.url));
    const child = spawn(process.execPath, [file], {
      env: { ...process.env, REGISTRY_URL: proxy.url, SECRET: secret, MEMBERS: '500', NAME: 'carol' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    const one = await edge();
    const others = 70;
    await Promise.all(
      Array.from({ length: others }, (_, n) => one.enter(alice, room(n % 7), client(`c${n}`), {})),
    );
    const count = async () => {
      const found = await Promise.all(Array.from({ length: 7 }, (_, n) => everybody(one, room(n))));
      return found.flat().length;
    };
    assert.equal(await count(), 500 + others);
    const killed = performance.now();
    child.kill('SIGKILL');
    await until(async () => (await count()) === others, 'the members to leave');
    const seconds = (performance.now() - killed) / 1_000;
    console.log(`# all 500 had left after ${seconds.toFixed(1)} s, of 10 s`);
    const expired = () => changes.filter(({ kind, subject }) => kind === 'expired' && subject === 'carol');
    await until(() => expired().length === 500, 'the changes');
    assert.equal(new Set(expired().map(({ client: id }) => id)).size, 500);
    for (let n = 0; n < 7; n++) {
      assert.ok(!heard(room(n)).some((line) => line.startsWith('expired alice')), `room ${n}`);
    }
  });
});
