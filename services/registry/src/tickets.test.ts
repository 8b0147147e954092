import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { ServiceError } from '@grpc/grpc-js';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import { TicketServiceClient } from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import { Redis } from 'ioredis';
import { type Instance, reasons, sharedLog, startInstance, token } from './testing.ts';

const service = (instance: Instance): TicketServiceClient => {
  const { target, credentials, options } = instance.client();
  return new TicketServiceClient(target, credentials, options);
};

async function redeem(client: TicketServiceClient, ticket: string): Promise<string> {
  const call = promisify<{ ticket: string }, { token: string }>(client.redeemTicket.bind(client));
  return (await call({ ticket })).token;
}

const outcome = (client: TicketServiceClient, ticket: string): Promise<string> =>
  redeem(client, ticket).catch((error: ServiceError) => String(error.metadata.get('pushfleet-code')[0]));

describe('tickets', () => {
  let redis: RedisServer;
  let one: Instance;
  let two: Instance;
  let atOne: TicketServiceClient;
  let atTwo: TicketServiceClient;

  const issue = async (instance: Instance, bearer: string): Promise<string> => {
    const response = await instance.post('/v1/tickets', bearer);
    assert.equal(response.status, 201, await response.clone().text());
    return ((await response.json()) as { ticket: string }).ticket;
  };

  before(async () => {
    redis = await startRedis();
    const backbone = sharedLog();
    const env = { PUSHFLEET_TICKETS_OUTSTANDING: '60', PUSHFLEET_TICKET_BURST: '200' };
    one = await startInstance({ redisUrl: redis.url, backbone, env });
    two = await startInstance({ redisUrl: redis.url, backbone, env });
    atOne = service(one);
    atTwo = service(two);
    for (const instance of [one, two])
      await until(() => Object.keys(reasons(instance)).length === 0, 'readiness');
  });
  after(async () => {
    atOne.close();
    atTwo.close();
    await Promise.all([one.close(), two.close()]);
    await redis.stop();
  });

  it('stand for the token once, at any instance', async () => {
    const bearer = await token();
    const response = await one.post('/v1/tickets', bearer);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const { ticket, expiresIn } = (await response.json()) as { ticket: string; expiresIn: number };
    assert.equal(expiresIn, 30);
    assert.match(ticket, /^default\./);
    assert.equal(await redeem(atTwo, ticket), bearer);
    assert.equal(await outcome(atTwo, ticket), 'unauthenticated');
    assert.equal(await outcome(atOne, ticket), 'unauthenticated');
  });

  it('are won by one of fifty who ask at the same moment at two instances', async () => {
    for (let round = 0; round < 10; round++) {
      const bearer = await token({ jti: `round-${round}` });
      const ticket = await issue(one, bearer);
      const asked = Array.from({ length: 50 }, (_, i) => outcome(i % 2 === 0 ? atOne : atTwo, ticket));
      const answers = await Promise.all(asked);
      assert.equal(answers.filter((answer) => answer === bearer).length, 1);
      assert.equal(answers.filter((answer) => answer === 'unauthenticated').length, 49);
    }
  });

  it('leave nothing in Redis that a thief could use, and nothing at all in the end', async () => {
    const client = new Redis(redis.url);
    await client.flushall();
    const bearer = await token({ sub: 'carol', ns: 'team-c' });
    const ticket = await issue(one, bearer);
    // An emptied Redis is filled again by the indexes, of which nothing is a ticket's.
    const others = /^(\$:probe:|\{\$\}:(presence|session|sub):)/;
    const keys = (await client.keys('*')).filter((name) => !others.test(name));
    assert.ok(
      keys.every((name) => name.startsWith('team-c:') || name.startsWith('$:')),
      String(keys),
    );
    const dump: string[] = [];
    for (const name of keys) {
      const type = await client.type(name);
      dump.push(name, type);
      if (type === 'string') dump.push(String(await client.get(name)));
      if (type === 'zset') dump.push(...(await client.zrange(name, '0', '-1')));
      if (!name.startsWith('$:')) assert.ok((await client.pttl(name)) > 0, `${name} never ends`);
    }
    assert.ok(dump.some((text) => text.startsWith('team-c:ticket:')));
    for (const hidden of [bearer, bearer.split('.')[2] as string, ticket, ticket.slice(7), 'carol']) {
      assert.ok(!dump.join('\n').includes(hidden));
    }
    assert.equal(await redeem(atOne, ticket), bearer);
    await until(async () => (await client.keys('team-c:*')).length === 0, 'an empty namespace');
    client.disconnect();
  });

  it('end by themselves, and with their token', async () => {
    const short = await startInstance({ redisUrl: redis.url, env: { PUSHFLEET_TICKET_SECONDS: '1' } });
    const client = service(short);
    await until(() => Object.keys(reasons(short)).length === 0, 'readiness');
    const ticket = await issue(short, await token());
    await until(async () => {
      const direct = new Redis(redis.url);
      const left = await direct.keys('default:ticket:*');
      direct.disconnect();
      return left.length === 0;
    }, 'the end of the ticket');
    assert.equal(await outcome(client, ticket), 'unauthenticated');
    const expiring = await token({ exp: Math.floor(Date.now() / 1_000) + 10 });
    const response = await one.post('/v1/tickets', expiring);
    const { expiresIn } = (await response.json()) as { expiresIn: number };
    assert.ok(expiresIn <= 10, String(expiresIn));
    client.close();
    await short.close();
  });

  it('wait in a limited number for each subject, over all instances', async () => {
    const bearer = await token({ sub: 'greedy' });
    const tickets: string[] = [];
    for (let i = 0; i < 60; i++) tickets.push(await issue(i % 2 === 0 ? one : two, bearer));
    const refused = await two.post('/v1/tickets', bearer);
    assert.equal(refused.status, 429);
    const problem = (await refused.json()) as Record<string, unknown>;
    assert.equal(problem.code, 'rate_limited');
    assert.match(String(problem.detail), /^60 tickets of this subject wait/);
    const retry = Number(refused.headers.get('retry-after'));
    assert.ok(retry >= 1 && retry <= 30, String(retry));
    await issue(two, await token({ sub: 'modest' }));
    await issue(two, await token({ sub: 'greedy', ns: 'elsewhere' }));
    await redeem(atOne, tickets[0] as string);
    await until(async () => (await two.post('/v1/tickets', bearer)).status === 201, 'a free place');
  });

  it('come at a limited rate for each subject', async () => {
    const env = { PUSHFLEET_TICKET_RATE: '1', PUSHFLEET_TICKET_BURST: '3' };
    const slow = await startInstance({ redisUrl: redis.url, env });
    await until(() => Object.keys(reasons(slow)).length === 0, 'readiness');
    const bearer = await token({ sub: 'hasty' });
    const asked = Array.from({ length: 30 }, () => slow.post('/v1/tickets', bearer));
    const statuses = (await Promise.all(asked)).map((response) => response.status);
    assert.ok(statuses.filter((status) => status === 201).length >= 3, String(statuses));
    assert.ok(statuses.includes(429), String(statuses));
    await slow.close();
  });

  it('survive no loss of Redis, which comes back by itself', async () => {
    const bearer = await token({ sub: 'patient' });
    const lost = await issue(one, bearer);
    await redis.kill('SIGKILL');
    const refused = await one.post('/v1/tickets', bearer);
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.equal(refused.headers.get('content-type'), 'application/problem+json');
    assert.equal(await outcome(atTwo, lost), 'unavailable');
    await until(() => reasons(one).redis?.startsWith('Redis does not answer') ?? false, 'the reason');
    await redis.restart({ empty: true });
    await until(() => Object.keys(reasons(one)).length === 0, 'the return of Redis');
    assert.equal(await outcome(atOne, lost), 'unauthenticated');
    const again = await issue(one, bearer);
    await until(() => Object.keys(reasons(two)).length === 0, 'the return of Redis');
    assert.equal(await redeem(atTwo, again), bearer);
  });

  it('do not wait for a Redis that hangs', async () => {
    const bearer = await token({ sub: 'hanging' });
    process.kill(redis.pid, 'SIGSTOP');
    try {
      // Redis goes on only below: an answer at all is one that did not wait for it.
      assert.equal((await one.post('/v1/tickets', bearer)).status, 503);
      await until(() => reasons(one).redis !== undefined, 'the reason');
    } finally {
      process.kill(redis.pid, 'SIGCONT');
    }
    await until(() => Object.keys(reasons(one)).length === 0, 'the return of Redis');
    await issue(one, bearer);
  });
});
