import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { migrate } from '@pushfleet/bus';
import {
  freePort,
  type NatsCluster,
  type RedisServer,
  type ServiceProcess,
  startNats,
  startRedis,
  startService,
  until,
} from '@pushfleet/contract';
import { TicketServiceClient } from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import { createLog, createRegistryClient, internalClient, type RegistryClient } from '@pushfleet/runtime';
import { secret, token } from './testing.ts';

const streams = {
  shards: 1,
  replicas: 1,
  maxAgeMs: 3_600_000,
  maxBytes: 67_108_864,
  duplicateWindowMs: 120_000,
};

/** Processes, a real broker and a real Redis: what the tests in memory cannot show. */
describe('the registry as processes', () => {
  let nats: NatsCluster;
  let redis: RedisServer;
  let one: ServiceProcess;
  let two: ServiceProcess;
  let client: RegistryClient;
  let manager: string;

  const env = (): Record<string, string> => ({
    PUSHFLEET_TOKEN_SECRET: secret,
    PUSHFLEET_NATS_URL: nats.url,
    PUSHFLEET_REDIS_URL: redis.url,
  });
  const ask = (
    service: ServiceProcess,
    path: string,
    bearer: string,
    init: RequestInit = {},
  ): Promise<Response> =>
    fetch(`http://${service.addresses.http}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    });
  const buy = (service: ServiceProcess, bearer: string): Promise<Response> =>
    ask(service, '/v1/tickets', bearer, { method: 'POST' });
  const revoke = (service: ServiceProcess, body: object): Promise<Response> =>
    ask(service, '/v1/revocations', manager, { method: 'POST', body: JSON.stringify(body) });
  const readiness = async (service: ServiceProcess): Promise<string> =>
    (await fetch(`http://${service.addresses.ops}/readyz`)).text();
  const isReady = (service: ServiceProcess, ms = 30_000): Promise<void> =>
    until(async () => (await fetch(`http://${service.addresses.ops}/readyz`)).ok, 'readiness', ms);
  const ticketClient = (service: ServiceProcess): TicketServiceClient => {
    const config = {
      internalSecret: undefined,
      tokenSecret: secret,
      internalTlsCa: undefined,
      internalTlsCert: undefined,
      internalTlsKey: undefined,
    };
    const { target, credentials, options } = internalClient(config, {
      url: `http://${service.addresses.grpc}`,
      service: 'test',
    });
    return new TicketServiceClient(target, credentials, options);
  };

  before(async () => {
    [nats, redis, manager] = await Promise.all([startNats(), startRedis(), token({ sub: 'manager' })]);
    await migrate({ servers: nats.url, ...streams });
    [one, two] = await Promise.all([startService('registry', env()), startService('registry', env())]);
    client = createRegistryClient(
      {
        registryUrl: `http://${two.addresses.grpc}`,
        internalSecret: undefined,
        tokenSecret: secret,
        internalTlsCa: undefined,
        internalTlsCert: undefined,
        internalTlsKey: undefined,
      },
      { name: 'test', log: createLog({ name: 'test', level: 'silent' }) },
    );
    await client.start();
  });
  after(async () => {
    await client.close();
    await Promise.all([one.kill('SIGKILL'), two.kill('SIGKILL')]);
    await Promise.all([nats.stop(), redis.stop()]);
  });

  it('lets one of fifty callers at two processes have a ticket’s token', async () => {
    const clients = [ticketClient(one), ticketClient(two)];
    const redeem = clients.map((at) =>
      promisify<{ ticket: string }, { token: string }>(at.redeemTicket.bind(at)),
    );
    for (let round = 0; round < 5; round++) {
      const bearer = await token({ jti: `race-${round}` });
      const { ticket } = (await (await buy(one, bearer)).json()) as { ticket: string };
      const asked = Array.from({ length: 50 }, (_, i) => redeem[i % 2]?.({ ticket }));
      const answers = await Promise.allSettled(asked);
      const won = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value?.token] : []));
      assert.deepEqual(won, [bearer]);
    }
    for (const at of clients) at.close();
  });

  it('tells the rest of the fleet of a revocation', async () => {
    const grant = { subject: 'mallory', namespace: 'default', expiresAt: Date.now() + 60_000 } as never;
    await until(() => client.ready?.() === undefined, 'the client');
    assert.equal(client.revocations.revoked(grant), false);
    const { id } = (await (await revoke(one, { subject: 'mallory' })).json()) as { id: string };
    await until(() => client.revocations.revoked(grant), 'the revocation');
    const lifted = await ask(one, `/v1/revocations/${id}`, manager, { method: 'DELETE' });
    assert.equal(lifted.status, 204);
    await until(() => !client.revocations.revoked(grant), 'the lifting');
  });

  it('lets a revocation end in the log as well', async () => {
    const end = new Date(Date.now() + 1_500).toISOString();
    assert.equal((await revoke(one, { subject: 'short', until: end })).status, 201);
    const bearer = await token({ sub: 'short' });
    assert.equal((await buy(one, bearer)).status, 401);
    await until(async () => (await buy(one, bearer)).status === 201, 'the end');
    await until(async () => (await revoke(two, { subject: 'short' })).status === 201, 'a new revocation');
  });

  it('keeps revocations through a kill of NATS, and says what is away', async (t) => {
    const bearer = await token({ sub: 'peggy' });
    assert.equal((await revoke(one, { subject: 'peggy' })).status, 201);
    await until(async () => (await buy(two, bearer)).status === 401, 'the other instance');
    await nats.servers[0]?.kill('SIGKILL');
    await until(async () => (await readiness(two)).includes('NATS'), 'the reason');
    assert.equal((await buy(two, bearer)).status, 401);
    assert.equal((await buy(two, await token({ sub: 'quinn' }))).status, 201, 'tickets need no log');
    const refused = await revoke(two, { subject: 'quinn' });
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    const restarted = await startService('registry', env(), { ready: false });
    t.after(() => restarted.kill('SIGKILL'));
    await until(async () => (await buy(restarted, bearer)).status === 401, 'what the index knows');
    await nats.servers[0]?.restart();
    await Promise.all([isReady(one), isReady(two), isReady(restarted)]);
    assert.equal((await revoke(two, { subject: 'rupert' })).status, 201);
    const other = await token({ sub: 'rupert' });
    for (const service of [one, two, restarted]) {
      await until(async () => (await buy(service, other)).status === 401, 'the revocation after the return');
    }
    assert.equal((await buy(one, bearer)).status, 401);
    assert.equal(await restarted.kill('SIGTERM'), 0);
  });

  it('finds everything again after it was killed, with Redis emptied meanwhile', async () => {
    assert.equal((await revoke(one, { tokenId: 'sybil-1' })).status, 201);
    await one.kill('SIGKILL');
    await redis.restart({ empty: true });
    one = await startService('registry', env());
    assert.equal((await buy(one, await token({ sub: 'sybil', jti: 'sybil-1' }))).status, 401);
    assert.equal((await buy(one, await token({ sub: 'sybil', jti: 'sybil-2' }))).status, 201);
    await isReady(two);
  });

  it('says what it waits for when it starts, and stops all the same', async (t) => {
    const [natsPort, redisPort] = [await freePort(), await freePort()];
    const early = await startService(
      'registry',
      {
        ...env(),
        PUSHFLEET_NATS_URL: `nats://127.0.0.1:${natsPort}`,
        PUSHFLEET_REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      },
      { ready: false },
    );
    t.after(() => early.kill('SIGKILL'));
    await until(async () => (await readiness(early)).includes('Redis does not answer'), 'the reasons');
    const reasons = await readiness(early);
    for (const part of ['NATS', 'Redis']) assert.ok(reasons.includes(part), reasons);
    assert.equal(await early.kill('SIGTERM'), 0);
  });
});
