import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { startRedis, until } from '@pushfleet/contract';
import { Layouts } from '../testing-layouts.ts';
import {
  entryOf,
  type Held,
  keyOf,
  listen,
  openRegister,
  replay,
  type TestRegister,
  team,
} from './testing.ts';

const layouts = new Layouts();
const open: TestRegister[] = [];
after(async () => {
  await Promise.all(open.map((one) => one.close()));
  layouts.stop();
});
const opened = async (...args: Parameters<typeof openRegister>): Promise<TestRegister> => {
  const one = await openRegister(...args);
  open.push(one);
  return one;
};

const namespaces = Array.from({ length: 12 }, (_, n) => `team-${n}`);
const names = ['alice', 'bob', 'carol'];

/** What an edge does that holds on to these members: under each new lease it enters them again. */
class Edge {
  lease: Held | undefined;
  leases = 0;
  readonly #on: TestRegister;
  readonly #keys: ReturnType<typeof keyOf>[];
  #closed = false;

  constructor(on: TestRegister, keys: ReturnType<typeof keyOf>[]) {
    this.#on = on;
    this.#keys = keys;
  }

  async run(): Promise<void> {
    while (!this.#closed) {
      const held = await this.#on.hold().catch(() => undefined);
      const put = () =>
        this.#on.register.put(
          held?.lease as string,
          this.#keys.map((key) => entryOf(key)),
        );
      if (held === undefined || (await put().catch(() => undefined)) === undefined) continue;
      this.leases++;
      this.lease = held;
      await held.ended;
    }
  }

  close(): void {
    this.#closed = true;
    this.lease?.release();
  }
}

const everywhere = async (on: TestRegister, wanted: readonly string[]): Promise<void> => {
  const found = await Promise.all(namespaces.map((namespace) => on.all('t', { namespace })));
  assert.deepEqual(
    found.map((members) => members.map(({ subject }) => subject)),
    namespaces.map(() => wanted),
  );
};
const eventually = (on: TestRegister, wanted: readonly string[]): Promise<void> =>
  until(() => everywhere(on, wanted).then(() => true), `${wanted} everywhere`);
const keysOf = (some: readonly string[]) =>
  namespaces.flatMap((namespace) => some.map((name) => keyOf('t', name, 'c1', namespace)));

/** The slot of a key, by the rule of Redis Cluster: that of its hash tag. */
const tagOf = (key: string): string => /\{(.+?)\}/.exec(key)?.[1] ?? key;

describe('presence on layouts of Redis', () => {
  it('touches keys of one slot in a script', async () => {
    const redis = await startRedis();
    const watcher = layouts.client(redis.url);
    const monitor = await watcher.monitor();
    const tags: Set<string>[] = [];
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      // What a script does follows the command that runs it.
      const keys = args.filter((arg) => arg.includes('}:presence:'));
      if (source !== 'lua') tags.push(new Set());
      for (const key of keys) tags.at(-1)?.add(tagOf(key));
    });
    const one = await opened(redis.url);
    const { lease, release } = await one.hold();
    await one.register.put(
      lease,
      keysOf(names).map((key) => entryOf(key, { ttlMs: 50 })),
    );
    await one.register.leave(lease, keysOf(['bob']), 0);
    release();
    await until(async () => (await one.all('t', { namespace: 'team-1' })).length === 0, 'the expiry');
    await one.register.end(lease);
    assert.deepEqual(
      tags.filter((each) => each.size > 1),
      [],
    );
    assert.ok(tags.filter((each) => each.size === 1).length > 20, 'the monitor saw them');
    monitor.disconnect();
    watcher.disconnect();
    await redis.stop();
  });

  it('lives in a cluster of three, and is entered again where one of them lost everything', {
    timeout: 180_000,
  }, async () => {
    const { url, nodes } = await layouts.cluster();
    const backbone = createMemoryBackbone();
    const [one, other] = [await opened(url, { backbone }), await opened(url, { backbone })];
    const edges = [new Edge(one, keysOf(['alice', 'bob'])), new Edge(other, keysOf(['carol']))] as const;
    for (const edge of edges) void edge.run();
    await eventually(one, names);
    const held = await Promise.all(nodes.map(({ client }) => client.dbsize()));
    assert.ok(
      held.every((count) => count > 0),
      `keys on each node: ${held.join(', ')}`,
    );
    for (const { client } of nodes) {
      await client.flushall();
      await eventually(one, names);
      await eventually(other, names);
    }
    // One of them is gone for good; what hung on its former leases goes with it.
    edges[0].close();
    await eventually(other, ['carol']);
    edges[1].close();
    await eventually(other, []);
  });

  it('is entered again after a failover by Sentinel to a replica that missed the newest', {
    timeout: 180_000,
  }, async () => {
    const { url, replica, ...sentinel } = await layouts.sentinel();
    const backbone = createMemoryBackbone();
    const [one, other] = [await opened(url, { backbone }), await opened(url, { backbone })];
    const heard = await listen(backbone, team);
    const edge = new Edge(one, keysOf(['alice', 'bob']));
    void edge.run();
    await eventually(one, ['alice', 'bob']);
    await sentinel.copied();
    await sentinel.cutOff();
    const late = new Edge(other, [...keysOf(['carol']), keyOf('t', 'dave')]);
    void late.run();
    await eventually(other, names);
    assert.equal(await replica.client.zcard('{team-0}:presence:t:t'), 2, 'the replica missed one');
    await sentinel.failOver();
    await eventually(one, names);
    await eventually(other, names);
    await until(() => heard.changes.length > 0, 'the change');
    assert.equal(replay(heard.changes.slice(0, 1)).size, 1);
    edge.close();
    late.close();
  });
});
