import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { freePort, type RedisServer, startRedis, until } from '@pushfleet/contract';
import type { Namespace } from '@pushfleet/core';
import { createLog, type Grant, RateLimit } from '@pushfleet/runtime';
import { Redis } from 'ioredis';
import { RedisStore } from './redis.ts';
import { parseRedisUrl } from './redis-url.ts';
import { revocationId } from './revocation.ts';
import { RevocationIndex } from './revocation-index.ts';
import { Tickets } from './tickets.ts';

const log = createLog({ name: 'registry', level: 'silent' });
const grant = { subject: 'alice', namespace: 'team-a' as Namespace, expiresAt: Date.now() + 60_000 } as Grant;
const entry = {
  namespace: 'team-a' as Namespace,
  id: revocationId({ subject: 'alice' }),
  revision: 7,
  revocation: { subject: 'alice', until: Date.now() + 60_000, createdAt: 1, createdBy: 'bob' },
};

const folder = mkdtempSync(join(tmpdir(), 'pushfleet-redis-'));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** A redis-server of a kind that the launchers do not know. */
async function spawnRedis(args: readonly string[], port: number): Promise<Redis> {
  const child = spawn('redis-server', [
    ...args,
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
  ]);
  children.push(child);
  const client = new Redis({ port, retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => {});
  await client.ping();
  return client;
}

/** The work of a whole registry, on whatever kind of Redis. */
async function holds(url: string): Promise<void> {
  const store = new RedisStore({ redis: parseRedisUrl(url), redisTlsCa: undefined }, log);
  let returns = 0;
  store.onReturn(() => returns++);
  await store.start();
  await until(() => store.ready() === undefined, `an answer from ${url}`);
  assert.equal(returns, 1);
  const rate = new RateLimit({ perSecond: 100, burst: 100 });
  const tickets = new Tickets(store, { lifetimeMs: 30_000, outstanding: 10, rate });
  const { ticket } = await tickets.issue(grant, 'the.token.itself');
  assert.equal(await tickets.redeem(ticket), 'the.token.itself');
  await assert.rejects(tickets.redeem(ticket), { code: 'unauthenticated' });
  const index = new RevocationIndex(store);
  assert.equal(await index.load(), undefined);
  await index.rebuild([entry]);
  assert.deepEqual(await index.load(), [entry]);
  await index.remove(entry.namespace, entry.id, entry.revision);
  assert.deepEqual(await index.load(), [entry], 'an older deletion takes nothing away');
  await index.remove(entry.namespace, entry.id, entry.revision + 1);
  assert.deepEqual(await index.load(), []);
  await store.close();
}

describe('RedisStore', () => {
  it('works on a standalone server', async () => {
    const redis: RedisServer = await startRedis();
    await holds(redis.url);
    await holds(`${redis.url}/3`);
    await redis.stop();
  });

  it('works on a cluster', async () => {
    const port = await freePort();
    const client = await spawnRedis(
      [
        '--cluster-enabled',
        'yes',
        '--cluster-announce-ip',
        '127.0.0.1',
        '--cluster-config-file',
        `${port}.conf`,
      ],
      port,
    );
    await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
    await until(
      async () => String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
      'the cluster',
    );
    await holds(`redis+cluster://127.0.0.1:${port}`);
    client.disconnect();
  });

  it('works behind Sentinel', async () => {
    const [port, sentinelPort] = [await freePort(), await freePort()];
    const client = await spawnRedis([], port);
    const config = join(folder, 'sentinel.conf');
    writeFileSync(config, `sentinel monitor mymaster 127.0.0.1 ${port} 1\n`);
    const sentinel = await spawnRedis([config, '--sentinel'], sentinelPort);
    await holds(`redis+sentinel://127.0.0.1:${sentinelPort}/mymaster`);
    client.disconnect();
    sentinel.disconnect();
  });

  it('gives its password, and says so when it is wrong', async () => {
    const port = await freePort();
    const client = await spawnRedis([], port);
    await client.config('SET', 'requirepass', 'hunter2');
    await holds(`redis://:hunter2@127.0.0.1:${port}`);
    const store = new RedisStore(
      { redis: parseRedisUrl(`redis://:wrong@127.0.0.1:${port}`), redisTlsCa: undefined },
      log,
    );
    await store.start();
    assert.match(store.ready() ?? '', /^Redis does not answer: /);
    await assert.rejects(store.command('GET', 'x'), { code: 'unavailable' });
    await store.close();
    client.disconnect();
  });

  it('says that a Redis that evicts is not to be trusted', async () => {
    const port = await freePort();
    const client = await spawnRedis(['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'], port);
    const told: unknown[] = [];
    const hearing = Object.assign(Object.create(log) as typeof log, {
      error: (fields: unknown) => told.push(fields),
    });
    const url = `redis://127.0.0.1:${port}`;
    const store = new RedisStore({ redis: parseRedisUrl(url), redisTlsCa: undefined }, hearing);
    await store.start();
    await until(() => told.length > 0, 'the complaint');
    assert.deepEqual(told, [{ policy: 'allkeys-lru' }]);
    await store.close();
    client.disconnect();
  });

  it('tells when it was emptied', async () => {
    const redis: RedisServer = await startRedis();
    const store = new RedisStore({ redis: parseRedisUrl(redis.url), redisTlsCa: undefined }, log);
    let returns = 0;
    store.onReturn(() => returns++);
    await store.start();
    assert.equal(returns, 1);
    await store.command('FLUSHALL');
    await until(() => returns === 2, 'the news');
    await store.close();
    await redis.stop();
  });
});
