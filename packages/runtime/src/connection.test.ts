import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { connectionId, digestOfConnection, tokenDigest } from './connection.ts';
import { Revocations } from './revocations.ts';
import { pair, secret, sign, tokenConfig } from './testing.ts';
import { createTokenCheck } from './tokens.ts';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

describe("a connection's id", () => {
  it('begins with the digest of its token, and is different each time', () => {
    const grant = { tokenDigest: tokenDigest('a.b.c') };
    assert.equal(grant.tokenDigest, createHash('sha256').update('a.b').digest('base64url').slice(0, 16));
    const ids = Array.from({ length: 100 }, () => connectionId(grant));
    assert.equal(new Set(ids).size, 100);
    for (const id of ids) assert.equal(digestOfConnection(id), grant.tokenDigest);
  });

  it('is read out of nothing else', () => {
    const bad = ['', '.', 'a.b', `${'a'.repeat(16)}.${'b'.repeat(7)}`, `${'a'.repeat(17)}.${'b'.repeat(8)}`];
    for (const text of [
      ...bad,
      ` ${'a'.repeat(16)}.${'b'.repeat(8)}`,
      `${'a'.repeat(16)}.${'b'.repeat(8)}\n`,
    ]) {
      assert.equal(digestOfConnection(text), undefined, JSON.stringify(text));
    }
    fc.assert(
      fc.property(fc.string(), (text) => {
        const digest = digestOfConnection(text);
        assert.ok(digest === undefined || text.startsWith(`${digest}.`));
      }),
    );
  });
});

describe('a token revoked by its digest', () => {
  const issuerOf = async () => {
    const { privateKey, pem } = await pair('ES256');
    const revocations = new Revocations();
    const { check } = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_PUBLIC_KEY: pem }), { revocations });
    return { privateKey, revocations, check };
  };

  it('is refused in every spelling of its signature that verifies', async () => {
    const { privateKey, revocations, check } = await issuerOf();
    const token = await sign({}, privateKey, { alg: 'ES256' });
    const grant = await check(token);
    const spellings = [token, withOtherLastBits(token), withOtherHalf(token), `${token}=`, `${token}==`];
    // Not every one of them has to verify; those that do must not be another token.
    const verified = [];
    for (const spelling of spellings) {
      const known = await check(spelling).catch(() => undefined);
      if (known !== undefined) verified.push(known.tokenDigest);
    }
    assert.ok(verified.length >= 2, 'the test shows something');
    assert.deepEqual(new Set(verified), new Set([grant.tokenDigest]));
    revocations.apply([
      { namespace: 'default', id: 'x', tokenDigest: grant.tokenDigest, until: 1e15, revision: 1n },
    ]);
    for (const spelling of spellings) {
      await assert.rejects(check(spelling), (error) =>
        ['token_revoked', 'unauthenticated'].includes((error as { code: string }).code),
      );
    }
    await check(await sign({ jti: 'another' }, privateKey, { alg: 'ES256' }));
  });

  it('is the same under a secret', async () => {
    const { check } = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_SECRET: secret }));
    const token = await sign({}, secret);
    assert.equal((await check(withOtherLastBits(token))).tokenDigest, (await check(token)).tokenDigest);
  });
});

/** 86 characters hold 516 bits, and a signature has 512. */
function withOtherLastBits(token: string): string {
  const last = alphabet.indexOf(token.at(-1) as string);
  return token.slice(0, -1) + (alphabet[last ^ 1] as string);
}

/** With (r, s) a signature, (r, n - s) is one too. */
function withOtherHalf(token: string): string {
  const at = token.lastIndexOf('.') + 1;
  const signature = Buffer.from(token.slice(at), 'base64url');
  const s = order - BigInt(`0x${signature.subarray(32).toString('hex')}`);
  const other = Buffer.concat([
    signature.subarray(0, 32),
    Buffer.from(s.toString(16).padStart(64, '0'), 'hex'),
  ]);
  return token.slice(0, at) + other.toString('base64url');
}
