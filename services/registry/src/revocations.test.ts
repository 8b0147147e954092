import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import type { Namespace } from '@pushfleet/core';
import { Redis } from 'ioredis';
import { fickleLog, type Instance, reasons, sharedLog, startInstance, token } from './testing.ts';

interface Shown {
  readonly id: string;
  readonly subject?: string;
  readonly tokenId?: string;
  readonly tokenDigest?: string;
  readonly issuedBefore?: string;
  readonly until: string;
  readonly createdBy: string;
}

const status = async (instance: Instance, bearer: string): Promise<number> =>
  (await instance.post('/v1/tickets', bearer)).status;

async function list(instance: Instance, bearer: string): Promise<readonly Shown[]> {
  const headers = { authorization: `Bearer ${bearer}` };
  const response = await fetch(`${instance.url}/v1/revocations?limit=1000`, { headers });
  assert.equal(response.status, 200);
  return ((await response.json()) as { revocations: Shown[] }).revocations;
}

async function revoke(instance: Instance, bearer: string, body: object): Promise<Shown> {
  const response = await instance.post('/v1/revocations', bearer, body);
  assert.ok(response.status === 201 || response.status === 200, await response.clone().text());
  return (await response.json()) as Shown;
}

const lift = (instance: Instance, bearer: string, id: string): Promise<Response> =>
  fetch(`${instance.url}/v1/revocations/${id}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${bearer}` },
  });

const ready = (instance: Instance): Promise<void> =>
  until(() => Object.keys(reasons(instance)).length === 0, 'readiness');

describe('revocations', () => {
  let redis: RedisServer;
  let one: Instance;
  let two: Instance;
  let manager: string;
  const log = fickleLog();

  before(async () => {
    redis = await startRedis();
    manager = await token({ sub: 'manager' });
    one = await startInstance({ redisUrl: redis.url, backbone: log });
    two = await startInstance({ redisUrl: redis.url, backbone: log });
    await Promise.all([ready(one), ready(two)]);
  });
  after(async () => {
    await Promise.all([one.close(), two.close()]);
    await redis.stop();
  });

  it('end the tokens of a subject at every instance, until they are lifted', async () => {
    const mallory = await token({ sub: 'mallory' });
    assert.equal(await status(two, mallory), 201);
    const { id, ...shown } = await revoke(one, manager, { subject: 'mallory' });
    assert.equal(shown.subject, 'mallory');
    assert.equal(shown.createdBy, 'manager');
    assert.equal(await status(one, mallory), 401, 'at once where it was revoked');
    await until(async () => (await status(two, mallory)) === 401, 'the other instance');
    const refused = (await (await two.post('/v1/tickets', mallory)).json()) as { code: string };
    assert.equal(refused.code, 'token_revoked');
    assert.equal(await status(two, await token({ sub: 'mallory', ns: 'elsewhere' })), 201);
    assert.equal((await lift(two, manager, id)).status, 204);
    await until(async () => (await status(one, mallory)) === 201, 'the lifting');
    assert.equal((await lift(two, manager, id)).status, 404);
  });

  it('may mean one token, or those issued before a time', async () => {
    const seconds = Math.floor(Date.now() / 1_000);
    const old = await token({ sub: 'dave', jti: 'old', iat: seconds - 100 });
    const fresh = await token({ sub: 'dave', jti: 'new', iat: seconds });
    await revoke(one, manager, { tokenId: 'old' });
    assert.deepEqual([await status(one, old), await status(one, fresh)], [401, 201]);
    const other = await token({ sub: 'erin', jti: 'new' });
    await revoke(one, manager, { subject: 'dave', tokenId: 'new' });
    assert.deepEqual([await status(one, fresh), await status(one, other)], [401, 201]);
    const before = new Date((seconds - 50) * 1_000).toISOString();
    await revoke(one, manager, { subject: 'frank', issuedBefore: before });
    const outcomes = [];
    for (const iat of [seconds - 100, seconds - 50, undefined]) {
      outcomes.push(await status(one, await token({ sub: 'frank', iat })));
    }
    assert.deepEqual(outcomes, [401, 201, 401]);
  });

  it('may mean the token of a connection, however its signature is spelt', async () => {
    const bearer = await token({ sub: 'gina', jti: 'of-a-connection' });
    const fresh = await token({ sub: 'gina', jti: 'another' });
    const signed = bearer.slice(0, bearer.lastIndexOf('.'));
    const digest = createHash('sha256').update(signed).digest('base64url').slice(0, 16);
    const shown = await revoke(one, manager, { connection: `${digest}.anything` });
    assert.equal(shown.tokenDigest, digest);
    await until(async () => (await status(two, bearer)) === 401, 'the other instance');
    assert.deepEqual([await status(one, fresh), await status(two, fresh)], [201, 201]);
    const last = bearer.at(-1) as string;
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const other = alphabet[alphabet.indexOf(last) ^ 1] as string;
    assert.equal(
      await status(one, bearer.slice(0, -1) + other),
      401,
      'two bits of the signature mean nothing',
    );
    assert.equal((await lift(two, manager, shown.id)).status, 204);
    await until(async () => (await status(one, bearer)) === 201, 'the lifting');
  });

  it('are one per target, and never become weaker by being repeated', async () => {
    const first = await one.post('/v1/revocations', manager, {
      subject: 'grace',
      until: '2031-01-01T00:00:00Z',
    });
    assert.equal(first.status, 201);
    const { id } = (await first.json()) as Shown;
    assert.equal(first.headers.get('location'), `/v1/revocations/${id}`);
    const weaker = { subject: 'grace', until: '2030-06-01T00:00:00Z', issuedBefore: '2025-01-01T00:00:00Z' };
    const again = await two.post('/v1/revocations', manager, weaker);
    assert.equal(again.status, 200);
    const kept = (await again.json()) as Shown;
    assert.deepEqual([kept.id, kept.until, kept.issuedBefore], [id, '2031-01-01T00:00:00.000Z', undefined]);
  });

  it('keep what each of many asks for at the same moment', async () => {
    const years = Array.from({ length: 6 }, (_, i) => `203${i}-01-01T00:00:00.000Z`).filter(
      (time) => Date.parse(time) > Date.now(),
    );
    const asked = years.map((time, i) =>
      (i % 2 === 0 ? one : two).post('/v1/revocations', manager, { subject: 'heidi', until: time }),
    );
    const statuses = (await Promise.all(asked)).map((response) => response.status);
    assert.equal(statuses.filter((code) => code === 201).length, 1, String(statuses));
    const held = (await list(one, manager)).find(({ subject }) => subject === 'heidi');
    assert.equal(held?.until, years.at(-1));
  });

  it('are listed a page at a time, each namespace its own', async () => {
    const bearer = await token({ ns: 'paged' });
    for (let i = 0; i < 7; i++) await revoke(one, bearer, { subject: `user-${i}` });
    const seen: string[] = [];
    let after = '';
    for (let pages = 1; ; pages++) {
      const response = await fetch(`${one.url}/v1/revocations?limit=3${after}`, {
        headers: { authorization: `Bearer ${bearer}` },
      });
      const page = (await response.json()) as { revocations: Shown[]; next?: string };
      seen.push(...page.revocations.map(({ subject }) => subject as string));
      if (page.next === undefined) {
        assert.equal(pages, 3);
        break;
      }
      after = `&after=${page.next}`;
    }
    assert.deepEqual(
      seen.toSorted(),
      Array.from({ length: 7 }, (_, i) => `user-${i}`),
    );
    assert.deepEqual(await list(one, await token({ ns: 'paged-not' })), []);
  });

  it('end by themselves', async () => {
    const bearer = await token({ sub: 'ivan' });
    await revoke(one, manager, { subject: 'ivan', until: new Date(Date.now() + 1_500).toISOString() });
    assert.equal(await status(one, bearer), 401);
    await until(async () => (await status(one, bearer)) === 201, 'the end');
    assert.ok(!(await list(one, manager)).some(({ subject }) => subject === 'ivan'));
  });

  it('have a limit for each namespace', async () => {
    const small = await startInstance({
      redisUrl: redis.url,
      backbone: sharedLog(),
      env: { PUSHFLEET_REVOCATIONS: '2' },
    });
    await ready(small);
    const bearer = await token({ ns: 'small' });
    await revoke(small, bearer, { subject: 'a' });
    await revoke(small, bearer, { subject: 'b' });
    const full = await small.post('/v1/revocations', bearer, { subject: 'c' });
    assert.equal(full.status, 507);
    assert.match(((await full.json()) as { detail: string }).detail, /2 revocations, the most allowed/);
    assert.equal((await small.post('/v1/revocations', bearer, { subject: 'a' })).status, 200);
    await revoke(small, await token({ ns: 'other' }), { subject: 'c' });
    await small.close();
  });

  it('work without Redis, whose index is made good when it is back', async () => {
    const team = await token({ ns: 'team-x' });
    await revoke(one, team, { subject: 'judy' });
    const { id: gone } = await revoke(one, team, { subject: 'kim' });
    await redis.kill('SIGKILL');
    assert.equal((await lift(one, team, gone)).status, 204);
    const { id } = await revoke(one, team, { subject: 'leo' });
    assert.equal((await one.post('/v1/tickets', await token({ sub: 'leo', ns: 'team-x' }))).status, 401);
    assert.deepEqual((await list(one, team)).map(({ subject }) => subject).toSorted(), ['judy', 'leo']);
    await redis.restart();
    await Promise.all([ready(one), ready(two)]);
    await holdsExactly('team-x', ['judy', 'leo']);
    await redis.restart({ empty: true });
    await holdsExactly('team-x', ['judy', 'leo']);
    assert.equal((await lift(one, team, id)).status, 204);
    await holdsExactly('team-x', ['judy']);
  });

  it('come back into an index that was flushed while the connection stood', async () => {
    const team = await token({ ns: 'team-y' });
    await revoke(one, team, { subject: 'mike' });
    await holdsExactly('team-y', ['mike']);
    const client = new Redis(redis.url);
    await client.flushall();
    client.disconnect();
    await holdsExactly('team-y', ['mike']);
  });

  it('are known from the index to an instance that starts while the log is away', async () => {
    const team = await token({ ns: 'team-z' });
    const { id } = await revoke(one, team, { subject: 'nina' });
    await holdsExactly('team-z', ['nina']);
    log.away = true;
    const late = await startInstance({ redisUrl: redis.url, backbone: log });
    await until(
      async () => (await status(late, await token({ sub: 'nina', ns: 'team-z' }))) === 401,
      'the index',
    );
    assert.equal(await status(late, await token({ sub: 'oscar', ns: 'team-z' })), 201);
    const refused = await late.post('/v1/revocations', team, { subject: 'oscar' });
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    log.away = false;
    assert.equal((await lift(one, team, id)).status, 204);
    await until(
      async () => (await status(late, await token({ sub: 'nina', ns: 'team-z' }))) === 201,
      'the log',
    );
    await late.close();
  });

  it('unknown, because log and index are away, mean that no token is accepted', async () => {
    log.away = true;
    const blind = await startInstance({ redisUrl: 'redis://127.0.0.1:1', backbone: log });
    const answer = await blind.post('/v1/tickets', manager);
    assert.equal(answer.status, 503);
    assert.match(
      ((await answer.json()) as { detail: string }).detail,
      /does not know yet which tokens are revoked/,
    );
    assert.deepEqual(Object.keys(reasons(blind)), ['redis', 'revocations', 'subscriptions']);
    log.away = false;
    await until(() => reasons(blind).revocations === undefined, 'the log');
    await blind.close();
  });

  async function holdsExactly(namespace: string, subjects: readonly string[]): Promise<void> {
    const client = new Redis(redis.url);
    client.on('error', () => {});
    await until(async () => {
      const records = await client.hvals(`${namespace as Namespace}:revocations`);
      const held = records.map((record) => (JSON.parse(record.slice(record.indexOf(' '))) as Shown).subject);
      assert.deepEqual(held.toSorted(), subjects.toSorted());
      return true;
    }, `the index to hold ${subjects}`);
    client.disconnect();
  }
});
