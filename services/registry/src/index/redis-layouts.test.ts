import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { createMemoryBackbone, type Ledger } from '@pushfleet/bus';
import { freePort, startRedis, until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { Redis } from 'ioredis';
import { end, openIndex, put, type TestIndex } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'pushfleet-layouts-'));
const children: ChildProcess[] = [];
const clients: Redis[] = [];
const indexes: TestIndex[] = [];
after(async () => {
  await Promise.all(indexes.map((index) => index.close()));
  for (const client of clients) client.disconnect();
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

interface Node {
  readonly port: number;
  readonly child: ChildProcess;
  readonly client: Redis;
}

async function spawnRedis(args: readonly string[], port: number): Promise<Node> {
  const dir = join(folder, String(port));
  mkdirSync(dir);
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''];
  const child = spawn('redis-server', [...args, ...options]);
  children.push(child);
  const client = new Redis({ port, retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => {});
  clients.push(client);
  await client.ping();
  return { port, child, client };
}

async function opened(url: string, ledger: Ledger): Promise<TestIndex> {
  const index = await openIndex(url, ledger);
  indexes.push(index);
  return index;
}

async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  const answers: T[] = [];
  const asked = async (): Promise<boolean> => {
    try {
      answers.push(await ask());
      return true;
    } catch (error) {
      if (error instanceof PushfleetError && error.code === 'unavailable') return false;
      throw error;
    }
  };
  await until(asked, 'an answer of the index', 60_000);
  return answers[0] as T;
}

const namespaces = Array.from({ length: 12 }, (_, n) => `team-${n}`);

async function fill(ledger: Ledger): Promise<void> {
  for (const namespace of namespaces) {
    for (let n = 0; n < 10; n++)
      await put(ledger, { namespace, id: `s${n}`, filter: n % 2 === 0 ? 'a/b' : 'a/+' });
  }
}

const wanted = Array.from({ length: 10 }, (_, n) => `s${n}`);

async function checkAll(index: TestIndex, ids = wanted): Promise<void> {
  for (const namespace of namespaces) {
    assert.deepEqual(await eventually(() => index.ids('a/b', { namespace })), ids);
  }
}

/** The slot of a key, by the rule of Redis Cluster: that of its hash tag. */
const tagOf = (key: string): string => /\{(.+?)\}/.exec(key)?.[1] ?? key;

describe('RedisIndex on other layouts of Redis', () => {
  it('names keys of one slot in one command, and touches no other in a script', async () => {
    const redis = await startRedis();
    const watcher = new Redis(redis.url);
    clients.push(watcher);
    const monitor = await watcher.monitor();
    const tags: Set<string>[] = [];
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      // What a script does follows the command that runs it.
      const keys = args.filter((arg) => arg.includes('}:sub:'));
      if (source !== 'lua') tags.push(new Set());
      for (const key of keys) tags.at(-1)?.add(tagOf(key));
    });
    const ledger = createMemoryBackbone().ledger('subscriptions');
    await fill(ledger);
    const one = await opened(redis.url, ledger);
    await checkAll(one);
    await put(ledger, { namespace: 'team-1', id: 's1', filter: 'c', owner: 'bob', ordered: true });
    await end(ledger, 's2', 'team-1');
    assert.deepEqual(await one.ids('c', { namespace: 'team-1' }), ['s1']);
    assert.deepEqual(
      tags.filter((each) => each.size > 1),
      [],
    );
    assert.ok(tags.filter((each) => each.size === 1).length > 20, 'the monitor saw them');
    monitor.disconnect();
    watcher.disconnect();
    await redis.stop();
  });

  it('lives in a cluster of three, and gets what one of them lost', async () => {
    const nodes: Node[] = [];
    for (let n = 0; n < 3; n++) {
      const port = await freePort();
      const announce = ['--cluster-announce-ip', '127.0.0.1', '--cluster-node-timeout', '2000'];
      const args = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', ...announce];
      nodes.push(await spawnRedis(args, port));
    }
    const [first] = nodes as [Node];
    for (const [n, { client }] of nodes.entries()) {
      await client.call('CLUSTER', 'ADDSLOTSRANGE', n * 5_462, Math.min(n * 5_462 + 5_461, 16_383));
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', n + 1);
      if (n > 0) await first.client.call('CLUSTER', 'MEET', '127.0.0.1', nodes[n]?.port as number);
    }
    const isWhole = async ({ client }: Node) =>
      /cluster_state:ok.*cluster_known_nodes:3/s.test(String(await client.call('CLUSTER', 'INFO')));
    for (const node of nodes) await until(() => isWhole(node), 'the cluster', 20_000);
    const ledger = createMemoryBackbone().ledger('subscriptions');
    await fill(ledger);
    const url = `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
    const [one, other] = [await opened(url, ledger), await opened(url, ledger)];
    await checkAll(one);
    const held = await Promise.all(nodes.map(({ client }) => client.dbsize()));
    assert.ok(
      held.every((count) => count > 0),
      `keys on each node: ${held.join(', ')}`,
    );
    for (const { client } of nodes) {
      await client.flushall();
      await checkAll(one);
      await checkAll(other);
    }
  });

  it('goes on after a failover by Sentinel to a replica that missed the newest', async () => {
    const master = await spawnRedis([], await freePort());
    await master.client.call('ACL', 'SETUSER', 'copier', 'on', '>secret', '~*', '&*', '+@all');
    const copying = ['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0'];
    const copier = ['--masteruser', 'copier', '--masterauth', 'secret'];
    const replica = await spawnRedis([...copying, ...copier], await freePort());
    await until(
      async () => (await replica.client.info('replication')).includes('master_link_status:up'),
      'the replica',
      20_000,
    );
    const config = join(folder, 'sentinel.conf');
    const lines = ['monitor m 127.0.0.1', 'down-after-milliseconds m', 'failover-timeout m'];
    writeFileSync(
      config,
      `sentinel ${lines[0]} ${master.port} 1\nsentinel ${lines[1]} 500\nsentinel ${lines[2]} 5000\n`,
    );
    const sentinelPort = await freePort();
    await spawnRedis([config, '--sentinel'], sentinelPort);
    const ledger = createMemoryBackbone().ledger('subscriptions');
    await fill(ledger);
    const url = `redis+sentinel://127.0.0.1:${sentinelPort}/m`;
    const [one, other] = [await opened(url, ledger), await opened(url, ledger)];
    await checkAll(one);
    await until(
      async () => (await replica.client.dbsize()) === (await master.client.dbsize()),
      'the copy',
      20_000,
    );
    const sentinel = new Redis({ port: sentinelPort });
    clients.push(sentinel);
    await until(
      async () => String(await sentinel.call('SENTINEL', 'REPLICAS', 'm')).includes(String(replica.port)),
      'Sentinel to know the replica',
      20_000,
    );
    // The replica hears nothing more, and the master goes on alone for a while.
    await master.client.call('ACL', 'DELUSER', 'copier');
    const alone = async () => (await replica.client.info('replication')).includes('master_link_status:down');
    await until(alone, 'the replica to be cut off');
    for (const namespace of namespaces) {
      await put(ledger, { namespace, id: 'new', filter: 'a/#' });
      await end(ledger, 's0', namespace);
    }
    const newest = ['new', ...wanted.slice(1)];
    await checkAll(one, newest);
    const missing = await Promise.all(
      [master, replica].map(({ client }) => client.hget('{team-0}:sub:mark', 'r')),
    );
    assert.ok(Number(missing[0]) > Number(missing[1]), 'the replica missed something');
    master.child.kill('SIGKILL');
    await until(async () => (await replica.client.role())[0] === 'master', 'the failover', 60_000);
    await checkAll(other, newest);
    await checkAll(one, newest);
  });
});
