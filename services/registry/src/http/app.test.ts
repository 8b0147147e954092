import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import { type Instance, reasons, startInstance, token } from '../testing.ts';

describe('HTTP', () => {
  let redis: RedisServer;
  let registry: Instance;

  before(async () => {
    redis = await startRedis();
    const env = { PUSHFLEET_CORS_ORIGINS: 'https://app.example.com' };
    registry = await startInstance({ redisUrl: redis.url, env });
    await until(() => Object.keys(reasons(registry)).length === 0, 'readiness');
  });
  after(async () => {
    await registry.close();
    await redis.stop();
  });

  const json = { 'content-type': 'application/json' };
  const id = 'x'.repeat(43);
  const expired = { exp: Math.floor(Date.now() / 1_000) - 60 };

  for (const [what, path, init, claims, expected] of [
    ['no token', '/v1/tickets', { method: 'POST' }, undefined, 401],
    ['an expired token', '/v1/tickets', { method: 'POST' }, expired, 401],
    ['no token', '/v1/revocations', {}, undefined, 401],
    ['no token', '/v1/revocations', { method: 'POST', headers: json, body: '{}' }, undefined, 401],
    ['no token', `/v1/revocations/${id}`, { method: 'DELETE' }, undefined, 401],
    ['a manager of a part', '/v1/revocations', {}, { pushfleet: { manage: ['a/#', '+'] } }, 403],
    [
      'a manager of the fleet’s own topics',
      '/v1/revocations',
      {},
      { pushfleet: { manage: ['$hooks/#'] } },
      403,
    ],
    [
      'a publisher of everything',
      '/v1/revocations',
      {},
      { pushfleet: { publish: ['#'], subscribe: ['#'] } },
      403,
    ],
    ['no grants', `/v1/revocations/${id}`, { method: 'DELETE' }, { pushfleet: {} }, 403],
    ['an unknown path', '/v1/revocation', {}, {}, 404],
    ['a path below', '/v1/tickets/x', { method: 'POST' }, {}, 404],
    ['an unknown id', `/v1/revocations/${id}`, { method: 'DELETE' }, {}, 404],
    ['an impossible id', '/v1/revocations/..%2Ftickets', { method: 'DELETE' }, {}, 404],
    ['a broken escape', '/v1/revocations/%zz', { method: 'DELETE' }, {}, 400],
    ['GET of tickets', '/v1/tickets', {}, {}, 405],
    ['PUT of revocations', '/v1/revocations', { method: 'PUT', headers: json, body: '{}' }, {}, 405],
    ['GET of one', `/v1/revocations/${id}`, {}, {}, 405],
    ['no body', '/v1/revocations', { method: 'POST', headers: json }, {}, 400],
    ['no JSON', '/v1/revocations', { method: 'POST', headers: json, body: '{"subject":' }, {}, 400],
    ['a bare string', '/v1/revocations', { method: 'POST', headers: json, body: '"alice"' }, {}, 400],
    ['no content type', '/v1/revocations', { method: 'POST', body: Buffer.from('{}') }, {}, 415],
    ['a form', '/v1/revocations', { method: 'POST', body: new URLSearchParams({ subject: 'a' }) }, {}, 415],
    [
      'another charset',
      '/v1/revocations',
      { method: 'POST', headers: { 'content-type': 'application/json; charset=utf-16' }, body: '{}' },
      {},
      415,
    ],
    [
      'a compressed body',
      '/v1/revocations',
      { method: 'POST', headers: { ...json, 'content-encoding': 'gzip' }, body: '{}' },
      {},
      415,
    ],
    [
      'a large body',
      '/v1/revocations',
      { method: 'POST', headers: json, body: JSON.stringify({ subject: 'x'.repeat(80_000) }) },
      {},
      413,
    ],
    ['limit 0', '/v1/revocations?limit=0', {}, {}, 400],
    ['limit x', '/v1/revocations?limit=x', {}, {}, 400],
    ['limit 1001', '/v1/revocations?limit=1001', {}, {}, 400],
    ['an invented cursor', '/v1/revocations?after=1', {}, {}, 400],
  ] as const) {
    const { method } = init as RequestInit;
    it(`answers ${expected} to ${what} at ${method ?? 'GET'} ${path}`, async () => {
      const headers = new Headers((init as RequestInit).headers);
      if (claims !== undefined) headers.set('authorization', `Bearer ${await token(claims)}`);
      const response = await fetch(`${registry.url}${path}`, { ...(init as RequestInit), headers });
      assert.equal(response.status, expected);
      assert.equal(response.headers.get('content-type'), 'application/problem+json');
      assert.equal(response.headers.get('cache-control'), 'no-store');
      assert.equal(response.headers.has('www-authenticate'), expected === 401);
      assert.equal(response.headers.has('allow'), expected === 405);
      const problem = (await response.json()) as Record<string, unknown>;
      assert.equal(problem.status, expected);
      assert.ok(String(problem.detail).length > 10);
    });
  }

  it('lets a manager of everything revoke, whichever way the grant is written', async () => {
    for (const manage of [true, ['#'], ['a', '#']]) {
      const bearer = await token({ pushfleet: { manage } });
      const response = await registry.post('/v1/revocations', bearer, { subject: 'somebody' });
      assert.ok(response.ok, String(response.status));
    }
  });

  it('takes no cookie for a token', async () => {
    const headers = { cookie: `pushfleet=${await token()}` };
    for (const path of ['/v1/tickets', '/v1/revocations']) {
      const response = await fetch(`${registry.url}${path}`, { method: 'POST', headers });
      assert.equal(response.status, 401);
    }
  });

  it('lets pages of listed origins buy tickets, and no others', async () => {
    const preflight = (path: string, origin: string): Promise<Response> =>
      fetch(`${registry.url}${path}`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization',
        },
      });
    const allowed = await preflight('/v1/tickets', 'https://app.example.com');
    assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example.com');
    assert.match(allowed.headers.get('access-control-allow-headers') ?? '', /authorization/i);
    assert.equal(allowed.headers.get('access-control-allow-credentials'), null);
    for (const [path, origin] of [
      ['/v1/tickets', 'https://evil.example'],
      ['/v1/tickets', 'null'],
      ['/v1/revocations', 'https://app.example.com'],
    ] as const) {
      assert.equal((await preflight(path, origin)).headers.get('access-control-allow-origin'), null);
    }
    const response = await fetch(`${registry.url}/v1/tickets`, {
      method: 'POST',
      headers: { origin: 'https://app.example.com', authorization: `Bearer ${await token({ sub: 'page' })}` },
    });
    assert.equal(response.status, 201);
    assert.equal(response.headers.get('access-control-allow-origin'), 'https://app.example.com');
    assert.match(response.headers.get('vary') ?? '', /Origin/);
  });

  it('survives bytes that are no request', async () => {
    for (const bytes of ['\0\0\0\0', 'GET\r\n\r\n', `GET /${'x'.repeat(40_000)} HTTP/1.1\r\n\r\n`, '{}\n']) {
      const socket = connect(registry.http.port, '127.0.0.1', () => socket.write(bytes));
      socket.on('error', () => {});
      await new Promise((resolve) => socket.resume().once('close', resolve));
    }
    assert.equal((await registry.post('/v1/tickets', await token({ sub: 'after' }))).status, 201);
  });
});
