import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { type ErrorCode, PushfleetError, type Topic } from '@pushfleet/core';
import { ConfigError } from './config.ts';
import { forge, pair, seconds, secret, sign, tokenConfig } from './testing.ts';
import { bearer, createTokenCheck } from './tokens.ts';

const checkWithSecret = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_SECRET: secret }));
const keys = {
  rsa: await pair('RS256', 'r'),
  other: await pair('RS256', 'r'),
  p256: await pair('ES256', 'e'),
};
const ed = { key: await pair('Ed25519', 'd'), p384: await pair('ES384'), p521: await pair('ES512') };

async function refusal(promise: Promise<unknown>): Promise<PushfleetError> {
  const error = await promise.then(
    () => assert.fail('the token was accepted'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof PushfleetError, String(error));
  return error;
}

function hmac(token: string, key: string | Buffer): string {
  const body = token.slice(0, token.lastIndexOf('.'));
  return `${body}.${createHmac('sha256', key).update(body).digest('base64url')}`;
}

describe('a token under PUSHFLEET_TOKEN_SECRET', () => {
  it('is accepted with its grants', async () => {
    const grant = await checkWithSecret.check(
      await sign({ ns: 'team', pushfleet: { publish: ['a/#'] } }, secret),
    );
    assert.equal(grant.subject, 'alice');
    assert.ok(grant.mayPublish('a/b' as Topic));
  });

  const good: readonly (readonly [what: string, claims: () => Record<string, unknown>])[] = [
    ['expired within the tolerance', () => ({ exp: seconds(-3) })],
    ['valid from now on, by a clock ahead', () => ({ nbf: seconds(3) })],
    ['issued by anybody, for anybody', () => ({ iss: 'someone', aud: ['x'] })],
  ];
  for (const [what, claims] of good) {
    it(`is accepted: ${what}`, async () => {
      await checkWithSecret.check(await sign(claims(), secret));
    });
  }

  const bad: readonly (readonly [
    what: string,
    token: () => Promise<string> | string,
    code: ErrorCode,
    says: RegExp,
  ])[] = [
    ['empty', () => '', 'unauthenticated', /No token was presented/],
    ['no token', () => 'hello', 'unauthenticated', /no JSON Web Token/],
    ['two dots and nothing', () => '..', 'unauthenticated', /no JSON Web Token/],
    ['too long', () => `${'a'.repeat(20_000)}.b.c`, 'unauthenticated', /no JSON Web Token/],
    ['an encrypted one', () => 'eyJhbGciOiJkaXIifQ..a.b.c', 'unauthenticated', /no JSON Web Token/],
    [
      'expired',
      () => sign({ exp: seconds(-12) }, secret),
      'token_expired',
      /expired \d+ s ago; get a new one/,
    ],
    ['expired long ago', () => sign({ exp: seconds(-7_300) }, secret), 'token_expired', /expired 2 h ago/],
    ['without expiry', () => sign({ exp: undefined }, secret), 'unauthenticated', /does not expire/],
    [
      'with a text for expiry',
      () => sign({ exp: 'tomorrow' }, secret),
      'unauthenticated',
      /"exp" is not acceptable/,
    ],
    [
      'not yet valid',
      () => sign({ nbf: seconds(60) }, secret),
      'unauthenticated',
      /valid from 20\d\d-.* still to come/,
    ],
    ['not valid for an age', () => sign({ nbf: 1e300 }, secret), 'unauthenticated', /valid from much later/],
    ['without subject', () => sign({ sub: undefined }, secret), 'unauthenticated', /names nobody/],
    ['by another secret', () => sign({}, 'x'.repeat(32)), 'unauthenticated', /signature is not by any key/],
    [
      'by HS512',
      () => sign({}, secret.repeat(2), { alg: 'HS512' }),
      'unauthenticated',
      /signed with "HS512".* HS256 alone/,
    ],
    [
      'with a critical header',
      () => hmac(forge({ alg: 'HS256', crit: ['x'], x: 1 }, { sub: 'a', exp: seconds(60) }), secret),
      'unauthenticated',
      /cannot be read/,
    ],
    [
      'alg none',
      () => forge({ alg: 'none' }, { sub: 'a', exp: seconds(60) }),
      'unauthenticated',
      /signed with "none"/,
    ],
    [
      'alg None',
      () => forge({ alg: 'None' }, { sub: 'a', exp: seconds(60) }),
      'unauthenticated',
      /signed with "None"/,
    ],
    ['no alg', () => forge({}, { sub: 'a', exp: seconds(60) }), 'unauthenticated', /signed with "undefined"/],
    [
      'no signature',
      async () => `${(await sign({}, secret)).split('.').slice(0, 2).join('.')}.`,
      'unauthenticated',
      /signature is not by/,
    ],
    [
      'claims that are no object',
      () => hmac(forge({ alg: 'HS256' }, ['a']), secret),
      'unauthenticated',
      /no JSON Web Token/,
    ],
  ];
  for (const [what, token, code, says] of bad) {
    it(`is refused: ${what}`, async () => {
      const text = await token();
      const error = await refusal(checkWithSecret.check(text));
      assert.equal(error.code, code);
      assert.match(error.message, says);
      for (const part of text.split('.'))
        assert.ok(part.length < 8 || !error.message.includes(part), 'echoes the token');
    });
  }

  it('is told how long ago it expired', async () => {
    const exp = 1_800_000_000;
    const token = await sign({ exp }, secret);
    for (const [late, says] of [
      [12, '12 s'],
      [119, '119 s'],
      [120, '2 min'],
      [7_200, '2 h'],
      [864_000, '10 days'],
    ] as const) {
      const now = (): number => (exp + late) * 1_000;
      const { check } = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_SECRET: secret }), { now });
      assert.equal((await refusal(check(token))).message, `The token expired ${says} ago; get a new one.`);
    }
  });

  it('is refused after any change of its claims', async () => {
    const [header, , signature] = (await sign({}, secret)).split('.');
    const claims = Buffer.from(JSON.stringify({ sub: 'root', exp: seconds(60) })).toString('base64url');
    const error = await refusal(checkWithSecret.check(`${header}.${claims}.${signature}`));
    assert.equal(error.code, 'unauthenticated');
  });
});

describe('a token under a public key', () => {
  const pems: readonly (readonly [algorithm: string, pem: string, key: Parameters<typeof sign>[1]])[] = [
    ['RS256', keys.rsa.pem, keys.rsa.privateKey],
    ['ES256', keys.p256.pem, keys.p256.privateKey],
    ['ES384', ed.p384.pem, ed.p384.privateKey],
    ['ES512', ed.p521.pem, ed.p521.privateKey],
    ['EdDSA', ed.key.pem, ed.key.privateKey],
    ['Ed25519', ed.key.pem, ed.key.privateKey],
  ];
  for (const [alg, pem, key] of pems) {
    it(`is accepted with ${alg}`, async () => {
      const check = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_PUBLIC_KEY: pem }));
      assert.equal((await check.check(await sign({}, key, { alg }))).subject, 'alice');
    });
  }

  const rsa = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_PUBLIC_KEY: keys.rsa.pem }));
  const claims = { sub: 'root', exp: seconds(600) };
  const forged: readonly (readonly [what: string, token: () => Promise<string> | string])[] = [
    ['HS256 with the PEM as the secret', () => hmac(forge({ alg: 'HS256' }, claims), keys.rsa.pem)],
    [
      'HS256 with the trimmed PEM as the secret',
      () => hmac(forge({ alg: 'HS256' }, claims), keys.rsa.pem.trim()),
    ],
    [
      'HS256 with the modulus as the secret',
      () => hmac(forge({ alg: 'HS256' }, claims), Buffer.from(keys.rsa.jwk.n ?? '', 'base64url')),
    ],
    ['HS256 said, RS256 not', () => hmac(forge({ alg: 'RS256' }, claims), keys.rsa.pem)],
    ['alg none', () => forge({ alg: 'none' }, claims)],
    ['another key of the same kind', () => sign(claims, keys.other.privateKey, { alg: 'RS256' })],
    [
      'a key it brings itself',
      () => sign(claims, keys.other.privateKey, { alg: 'RS256', jwk: keys.other.jwk, kid: 'r' }),
    ],
    [
      'a key address it brings itself',
      () => sign(claims, keys.other.privateKey, { alg: 'RS256', jku: 'http://127.0.0.1:1/' }),
    ],
    ['another kind of key', () => sign(claims, keys.p256.privateKey, { alg: 'ES256' })],
  ];
  for (const [what, token] of forged) {
    it(`is refused when forged: ${what}`, async () => {
      assert.equal((await refusal(rsa.check(await token()))).code, 'unauthenticated');
    });
  }

  it('is refused with PS256, as the key is pinned to RS256', async () => {
    const { privateKey, pem } = await pair('PS256');
    const check = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_PUBLIC_KEY: pem }));
    assert.match(
      (await refusal(check.check(await sign({}, privateKey, { alg: 'PS256' })))).message,
      /RS256 alone/,
    );
  });
});

describe('issuers', () => {
  const list = (issuers: unknown) =>
    createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_ISSUERS: JSON.stringify(issuers) }));

  it('must be as configured, and the audience too', async () => {
    const env = {
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_TOKEN_ISSUER: 'us',
      PUSHFLEET_TOKEN_AUDIENCE: 'fleet',
    };
    const { check } = createTokenCheck(tokenConfig(env));
    await check(await sign({ iss: 'us', aud: 'fleet' }, secret));
    await check(await sign({ iss: 'us', aud: ['x', 'fleet'] }, secret));
    const cases: readonly (readonly [claims: object, says: RegExp])[] = [
      [{ iss: 'them', aud: 'fleet' }, /issuer "them" is not one that this fleet trusts/],
      [{ aud: 'fleet' }, /does not say who issued it/],
      [{ iss: ['us'], aud: 'fleet' }, /does not say who issued it/],
      [{ iss: 'us', aud: 'other' }, /another audience/],
      [{ iss: 'us' }, /another audience/],
    ];
    for (const [claims, says] of cases) {
      const error = await refusal(check(await sign({ ...claims }, secret)));
      assert.equal(error.code, 'unauthenticated');
      assert.match(error.message, says);
    }
  });

  it('have their own keys: one cannot speak for another', async () => {
    const { check } = list([
      { issuer: 'a', secret: 'a'.repeat(32) },
      { issuer: 'b', keys: [keys.rsa.jwk, keys.p256.jwk], claim: ['x', 'y'] },
    ]);
    await check(await sign({ iss: 'a' }, 'a'.repeat(32)));
    const grant = await check(
      await sign({ iss: 'b', x: { y: { publish: ['t'] } } }, keys.p256.privateKey, {
        alg: 'ES256',
        kid: 'e',
      }),
    );
    assert.ok(grant.mayPublish('t' as Topic));
    assert.match(
      (await refusal(check(await sign({ iss: 'b' }, 'a'.repeat(32))))).message,
      /RS256, ES256 alone/,
    );
    assert.match(
      (await refusal(check(await sign({ iss: 'a' }, keys.rsa.privateKey, { alg: 'RS256' })))).message,
      /HS256 alone/,
    );
    assert.match(
      (await refusal(check(await sign({ iss: 'b' }, keys.rsa.privateKey, { alg: 'RS256', kid: 'unknown' }))))
        .message,
      /names a key/,
    );
  });

  it('may have several keys without ids: the one that fits counts', async () => {
    const [one, two] = [await pair('ES256'), await pair('ES256')];
    const { check } = list([{ keys: [one.jwk, two.jwk] }]);
    await check(await sign({}, two.privateKey, { alg: 'ES256' }));
    const third = await pair('ES256');
    assert.match(
      (await refusal(check(await sign({}, third.privateKey, { alg: 'ES256' })))).message,
      /signature is not by/,
    );
    assert.equal(
      (await refusal(check(await sign({ exp: seconds(-60) }, two.privateKey, { alg: 'ES256' })))).code,
      'token_expired',
    );
  });

  it('may share a name: the secret may be changed without logging anybody out', async () => {
    const { check } = list([
      { issuer: 'a', secret: 'n'.repeat(32) },
      { issuer: 'a', secret: 'o'.repeat(32) },
    ]);
    await check(await sign({ iss: 'a' }, 'o'.repeat(32)));
    const error = await refusal(check(await sign({ iss: 'a', exp: seconds(-60) }, 'o'.repeat(32))));
    assert.equal(error.code, 'token_expired');
  });

  it('may allow more algorithms for a key', async () => {
    const { privateKey, jwk } = await pair('PS256');
    await list([{ keys: [jwk], algorithms: ['RS256', 'PS256'] }]).check(
      await sign({}, privateKey, { alg: 'PS256' }),
    );
  });

  const privateJwk = { kty: 'EC', crv: 'P-256', ...keys.p256.jwk, d: 'x' };
  const wrong: readonly (readonly [what: string, env: NodeJS.ProcessEnv, says: RegExp])[] = [
    ['nobody', {}, /No issuer of tokens is configured/],
    [
      'a short secret',
      { PUSHFLEET_TOKEN_SECRET: 'hunter2' },
      /TOKEN_SECRET must be a secret of at least 32 bytes/,
    ],
    [
      'a PEM that is none',
      { PUSHFLEET_TOKEN_PUBLIC_KEY: 'hunter2' },
      /TOKEN_PUBLIC_KEY cannot be read as a public key/,
    ],
    [
      'a private PEM',
      { PUSHFLEET_TOKEN_PUBLIC_KEY: '-----BEGIN PRIVATE KEY-----\nhunter2' },
      /is a private key/,
    ],
    [
      'no JSON',
      { PUSHFLEET_TOKEN_ISSUERS: '[{"secret":"hunter2"' },
      /must be a JSON list of issuers \(it is not JSON\)/,
    ],
    ['no list', { PUSHFLEET_TOKEN_ISSUERS: '{}' }, /it is no list/],
    ['no object', { PUSHFLEET_TOKEN_ISSUERS: '[1]' }, /entry 1 is no object/],
    [
      'an unknown member',
      { PUSHFLEET_TOKEN_ISSUERS: '[{"jwks":"x"}]' },
      /entry 1 has the unknown member "jwks"/,
    ],
    [
      'no keys',
      { PUSHFLEET_TOKEN_ISSUERS: '[{"issuer":"x"}]' },
      /has none of "secret", "keys" and "jwksUrl"; it needs one, or an "issuer" that is a URL/,
    ],
    [
      'two sources',
      { PUSHFLEET_TOKEN_ISSUERS: `[{"secret":"${secret}","jwksUrl":"https://x"}]` },
      /more than one of/,
    ],
    [
      'a short secret in the list',
      { PUSHFLEET_TOKEN_ISSUERS: '[{"secret":"hunter2"}]' },
      /no text of at least 32 bytes/,
    ],
    ['a file URL', { PUSHFLEET_TOKEN_ISSUERS: '[{"jwksUrl":"file:///etc"}]' }, /no http or https URL/],
    [
      'HS256 beside keys',
      { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ keys: [keys.rsa.jwk], algorithms: ['HS256'] }]) },
      /"algorithms" that are no list out of RS256/,
    ],
    [
      'RS256 beside a secret',
      { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ secret, algorithms: ['RS256'] }]) },
      /out of HS256/,
    ],
    [
      'none allowed',
      { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ secret, algorithms: ['none'] }]) },
      /out of HS256/,
    ],
    [
      'a secret JWK',
      { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ keys: [{ kty: 'oct', k: 'hunter2' }] }]) },
      /entry 1 has a key \(number 1\) that is a secret/,
    ],
    [
      'a private JWK',
      { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ keys: [privateJwk] }]) },
      /that is a private key/,
    ],
    [
      'a broken JWK',
      { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ keys: [{ kty: 'RSA', n: 'hunter2' }] }]) },
      /cannot be read as a public key/,
    ],
    [
      'a JWK with a symmetric algorithm',
      { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ keys: [{ ...keys.rsa.jwk, alg: 'HS256' }] }]) },
      /for the algorithm "HS256"/,
    ],
    [
      'an empty audience',
      { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ secret, audience: '' }]) },
      /"audience"/,
    ],
    ['a number for a claim', { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ secret, claim: 5 }]) }, /"claim"/],
  ];
  for (const [what, env, says] of wrong) {
    it(`are refused: ${what}`, () => {
      assert.throws(
        () => createTokenCheck(tokenConfig(env)),
        (error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, says);
          assert.ok(!error.message.includes('hunter2') && !error.message.includes(secret));
          return true;
        },
      );
    });
  }
});

describe('the grants remembered', () => {
  it('are given again until the token expires, and no longer', async () => {
    let now = Date.now();
    const { check } = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_SECRET: secret }), { now: () => now });
    const token = await sign({ exp: seconds(30) }, secret);
    const first = await check(token);
    assert.equal(await check(token), first);
    now += 29_000;
    assert.equal(await check(token), first);
    now += 10_000;
    assert.equal((await refusal(check(token))).code, 'token_expired');
  });

  it('are forgotten after a minute', async () => {
    let now = Date.now();
    const { check } = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_SECRET: secret }), { now: () => now });
    const token = await sign({ exp: seconds(600) }, secret);
    const first = await check(token);
    now += 61_000;
    assert.notEqual(await check(token), first);
  });

  it('do not outlive a revocation', async () => {
    let gone = false;
    const revocations = { revoked: () => gone, onRevoked: () => () => undefined };
    const { check } = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_SECRET: secret }), { revocations });
    const token = await sign({}, secret);
    await check(token);
    gone = true;
    assert.equal((await refusal(check(token))).code, 'token_revoked');
    gone = false;
    await check(token);
  });
});

describe('bearer', () => {
  const cases: readonly (readonly [
    headers: { authorization?: string; cookie?: string },
    token: string | undefined,
  ])[] = [
    [{}, undefined],
    [{ authorization: 'Bearer a.b-_~+/.c==' }, 'a.b-_~+/.c=='],
    [{ authorization: 'bearer  abc ' }, 'abc'],
    [{ cookie: 'pushfleet=abc' }, 'abc'],
    [{ cookie: 'x=1; pushfleet=a=b ; y=2' }, 'a=b'],
    [{ cookie: 'xpushfleet=1; PUSHFLEET=2' }, undefined],
    [{ cookie: 'pushfleet=' }, undefined],
    [{ cookie: 'pushfleet' }, undefined],
    [{ authorization: 'Bearer one', cookie: 'pushfleet=two' }, 'one'],
  ];
  for (const [headers, token] of cases) {
    it(`finds ${token} in ${JSON.stringify(headers)}`, () => assert.equal(bearer(headers), token));
  }
  for (const authorization of ['', 'Basic abc', 'Bearer', 'Bearer ', 'Bearer a b', 'Bearer a,b', 'abc']) {
    it(`refuses ${JSON.stringify(authorization)} without echoing it`, () => {
      assert.throws(() => bearer({ authorization, cookie: 'pushfleet=abc' }), {
        code: 'unauthenticated',
        message: 'The Authorization header must be "Bearer" and a token.',
      });
    });
  }
});
