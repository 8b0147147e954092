import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import type { JWK } from 'jose';
import { type Pair, pair, seconds, sign, tokenConfig } from './testing.ts';
import { createTokenCheck } from './tokens.ts';

const minute = 60_000;

/** An issuer's key set on a real server, a clock of the test's own, and a check that uses both. */
async function issuer(t: TestContext, keys: JWK[]) {
  const state = { keys, fetches: 0, status: 200, now: Date.now() };
  const server = createServer((_, response) => {
    state.fetches++;
    if (state.status === 302) response.writeHead(302, { location: '/elsewhere' }).end();
    else
      response
        .writeHead(state.status)
        .end(state.status === 200 ? JSON.stringify({ keys: state.keys }) : 'hunter2');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): Promise<unknown> =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  t.after(close);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  const { check } = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_JWKS_URL: url }), {
    now: () => state.now,
  });
  return { state, check, close };
}

const token = ({ privateKey, jwk }: Pair, claims: Record<string, unknown> = {}): Promise<string> =>
  sign({ exp: seconds(7_200), nonce: Math.random(), ...claims }, privateKey, {
    alg: 'ES256',
    kid: jwk.kid ?? '',
  });

const one = await pair('ES256', 'one');
const two = await pair('ES256', 'two');

describe('a key set fetched from its issuer', () => {
  it('is fetched once for many tokens at once', async (t) => {
    const { state, check } = await issuer(t, [one.jwk]);
    await Promise.all(Array.from({ length: 20 }, async () => check(await token(one))));
    assert.equal(state.fetches, 1);
  });

  it('follows a rotation when a token names an unknown key, not more often than the cooldown', async (t) => {
    const { state, check } = await issuer(t, [one.jwk]);
    await check(await token(one));
    state.keys = [two.jwk];
    await assert.rejects(check(await token(two)), { code: 'unauthenticated', message: /names a key/ });
    assert.equal(state.fetches, 1, 'invented key ids are no way to make requests');
    state.now += minute;
    await check(await token(two));
    assert.equal(state.fetches, 2);
    await assert.rejects(check(await token(one)), { code: 'unauthenticated' });
  });

  it('drops a withdrawn key when it is old', async (t) => {
    const { state, check } = await issuer(t, [one.jwk]);
    await check(await token(one));
    state.keys = [two.jwk];
    state.now += 11 * minute;
    await assert.rejects(check(await token(one)), { code: 'unauthenticated' });
  });

  it('stays in use while the issuer is away, however old', async (t) => {
    const { state, check, close } = await issuer(t, [one.jwk]);
    await check(await token(one));
    await close();
    state.now += 30 * minute;
    await check(await token(one));
    state.now += minute;
    await assert.rejects(check(await token(two)), { code: 'unauthenticated' });
  });

  for (const status of [404, 500, 302]) {
    it(`is unavailable, not a bad token, where the issuer answers ${status}`, async (t) => {
      const { state, check } = await issuer(t, [one.jwk]);
      state.status = status;
      await assert.rejects(check(await token(one)), {
        code: 'unavailable',
        retryAfterMs: 2_000,
        message: /try again shortly/,
      });
      await assert.rejects(check(await token(one)), { code: 'unavailable' });
      assert.equal(state.fetches, 1, 'an issuer in trouble is not asked for every token');
      state.status = 200;
      state.now += 3_000;
      await check(await token(one));
    });
  }

  it('is unavailable where the issuer is away or sends no key set', async (t) => {
    const { state, check, close } = await issuer(t, [one.jwk]);
    state.keys = 'no list' as unknown as JWK[];
    await assert.rejects(check(await token(one)), { code: 'unavailable' });
    await close();
    state.now += 3_000;
    await assert.rejects(check(await token(one)), { code: 'unavailable' });
  });

  it('never makes a public key a secret', async (t) => {
    const { check } = await issuer(t, [
      one.jwk,
      { kty: 'oct', k: 'c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0', kid: 'h' },
    ]);
    const forged = await sign({}, 'secretsecretsecretsecretsecret', { alg: 'HS256', kid: 'h' });
    await assert.rejects(check(forged), { code: 'unauthenticated', message: /signed with "HS256"/ });
  });
});
