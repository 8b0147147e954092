import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNats, startRedis, until } from './mod.ts';

const exists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

const state = async (url: string): Promise<{ meta_cluster: { leader: string } }> =>
  (await (await fetch(`${url}/jsz`)).json()) as { meta_cluster: { leader: string } };

test('one nats-server comes up with JetStream, comes back on its port after a kill, and is gone after stop', async () => {
  const nats = await startNats();
  const [server] = nats.servers;
  assert.ok(server);
  assert.match(nats.url, /^nats:\/\/127\.0\.0\.1:\d+$/);
  const before = server.pid;
  await server.kill('SIGKILL');
  await server.restart();
  assert.notEqual(server.pid, before);
  assert.equal((await fetch(`${server.monitorUrl}/healthz`)).status, 200);
  await nats.stop();
  assert.equal(exists(server.pid), false);
});

test('three nats-servers elect a leader, and another one when it is killed', async () => {
  const nats = await startNats({ servers: 3 });
  assert.equal(nats.url.split(',').length, 3);
  const first = nats.servers[0];
  assert.ok(first);
  const leader = (await state(first.monitorUrl)).meta_cluster.leader;
  const [killed, other] = [...nats.servers].sort((a) => (a.name === leader ? -1 : 1));
  assert.ok(killed && other);
  await killed.kill('SIGKILL');
  const elected = async (): Promise<boolean> => {
    const now = (await state(other.monitorUrl)).meta_cluster.leader;
    return now !== undefined && now !== leader;
  };
  await until(elected, 'another leader');
  await killed.restart();
  await nats.stop();
});

test('redis-server keeps what it held over a restart', async () => {
  const redis = await startRedis();
  const { pid } = redis;
  await redis.kill('SIGTERM');
  await redis.restart();
  assert.notEqual(redis.pid, pid);
  await redis.stop();
  assert.equal(exists(redis.pid), false);
});
