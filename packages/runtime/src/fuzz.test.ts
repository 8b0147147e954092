import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PushfleetError, parseTopicFilter, type TopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import { ConfigError } from './config.ts';
import { forge, grantOfClaims, secret, sign, tokenConfig } from './testing.ts';
import { bearer, createTokenCheck } from './tokens.ts';

const { check } = createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_SECRET: secret }));
const expected = new Set(['unauthenticated', 'token_expired', 'forbidden']);

function assertRefusal(error: unknown): void {
  assert.ok(error instanceof PushfleetError, String(error));
  assert.ok(expected.has(error.code), `${error.code}: ${error.message}`);
}

describe('whatever comes', () => {
  it('as a token without the secret is refused with an error of ours', async () => {
    const part = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
    );
    const token = fc.oneof(
      fc.string(),
      fc.array(part, { maxLength: 6 }).map((parts) => parts.join('.')),
      fc
        .tuple(fc.dictionary(fc.string(), fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue()), part)
        .map(([header, claims, signature]) => forge({ alg: 'HS256', ...header }, claims, signature)),
    );
    await fc.assert(
      fc.asyncProperty(token, async (text) => {
        await check(text).then(() => assert.fail('accepted'), assertRefusal);
      }),
      { numRuns: 500 },
    );
  });

  it('as claims of a signed token is a grant or an error of ours', async () => {
    const claims = fc.record(
      {
        sub: fc.jsonValue(),
        ns: fc.jsonValue(),
        jti: fc.jsonValue(),
        nbf: fc.jsonValue(),
        pushfleet: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(claims, async (value) => {
        await check(await sign(value, secret)).then(() => undefined, assertRefusal);
      }),
      { numRuns: 300 },
    );
  });

  it('as a subject never widens a grant of {sub} beyond its own level', () => {
    const subject = fc.string({
      minLength: 1,
      unit: fc.constantFrom('a', 'b', '/', '+', '#', '$', '{', '}', 'é', '\0'),
    });
    fc.assert(
      fc.property(subject, fc.string({ minLength: 1, unit: 'grapheme' }), (sub, other) => {
        fc.pre(
          other !== sub && !/[/+#\0]/.test(other) && other.isWellFormed() && Buffer.byteLength(other) < 900,
        );
        try {
          const grant = grantOfClaims({
            sub,
            exp: 1,
            pushfleet: { subscribe: ['u/{sub}/#', '{sub}/x'] },
          });
          assert.ok(!grant.maySubscribe(parseTopicFilter(`u/${other}/x`)));
          assert.ok(!grant.maySubscribe(parseTopicFilter(`${other}/x`)));
          assert.ok(!grant.maySubscribe('#' as TopicFilter) && !grant.maySubscribe('u/#' as TopicFilter));
          assert.ok(grant.maySubscribe(parseTopicFilter(`u/${sub}/x`)));
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          assertRefusal(error);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('as headers gives a token, nothing or an error of ours', () => {
    fc.assert(
      fc.property(
        fc.option(fc.string(), { nil: undefined }),
        fc.option(fc.string(), { nil: undefined }),
        (a, c) => {
          try {
            const token = bearer({
              ...(a === undefined ? {} : { authorization: a }),
              ...(c === undefined ? {} : { cookie: c }),
            });
            assert.ok(token === undefined || token.length > 0);
          } catch (error) {
            assertRefusal(error);
          }
        },
      ),
    );
  });

  it('as the list of issuers is a check or a wrong configuration', () => {
    const entry = fc.record(
      {
        ...{ issuer: fc.jsonValue(), audience: fc.jsonValue(), secret: fc.jsonValue(), keys: fc.jsonValue() },
        ...{
          jwksUrl: fc.oneof(fc.jsonValue(), fc.webUrl()),
          algorithms: fc.jsonValue(),
          claim: fc.jsonValue(),
        },
        ...{
          tokenType: fc.jsonValue(),
          require: fc.oneof(fc.jsonValue(), fc.dictionary(fc.string(), fc.string())),
          roles: fc.oneof(fc.jsonValue(), fc.dictionary(fc.string(), fc.record({ publish: fc.jsonValue() }))),
          namespace: fc.jsonValue(),
          namespaceClaim: fc.jsonValue(),
          subjectClaim: fc.jsonValue(),
          tokenIdClaim: fc.jsonValue(),
        },
      },
      { requiredKeys: [] },
    );
    const list = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.json(),
      fc.array(entry).map((entries) => JSON.stringify(entries)),
    );
    fc.assert(
      fc.property(list, (text) => {
        try {
          createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_ISSUERS: text }));
        } catch (error) {
          assert.ok(error instanceof ConfigError, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});
