import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Namespace } from '@pushfleet/core';
import fc from 'fast-check';
import {
  decodeRevocation,
  encodeRevocation,
  parseRevocationKey,
  type Revocation,
  revocationId,
  revocationKey,
  strengthen,
} from './revocation.ts';
import { parseTerms } from './revocation-json.ts';

const time = fc.integer({ min: 1, max: 4e12 });
const terms = fc.record(
  { subject: fc.constant('alice'), until: time, issuedBefore: time },
  { requiredKeys: ['subject', 'until'] },
);
const revocation = terms.map((t): Revocation => ({ ...t, createdAt: 1, createdBy: 'bob' }));

describe('revocation', () => {
  it('keeps whatever either of two revocations of one target asks for', () => {
    fc.assert(
      fc.property(revocation, terms, time, time, (held, asked, issuedAt, now) => {
        const refuses = (t: { issuedBefore?: number; until: number }) =>
          now < t.until && (t.issuedBefore === undefined || issuedAt < t.issuedBefore);
        const both = strengthen(held, asked);
        if (refuses(held) || refuses(asked)) assert.ok(refuses(both));
        assert.deepEqual(strengthen(both, asked), both);
        assert.deepEqual(strengthen(both, held), both);
      }),
    );
  });

  it('survives the log', () => {
    fc.assert(
      fc.property(revocation, (held) => assert.deepEqual(decodeRevocation(encodeRevocation(held)), held)),
    );
  });

  it('has one id per target, and a key that leads back', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (subject, tokenId) => {
        const ids = [
          { subject },
          { tokenId },
          { subject, tokenId },
          { tokenDigest: subject },
          { subject: tokenId, tokenId: subject },
        ].map(revocationId);
        assert.equal(new Set(ids).size, subject === tokenId ? 4 : 5);
        for (const id of ids) {
          assert.deepEqual(parseRevocationKey(revocationKey('team-a' as Namespace, id)), {
            namespace: 'team-a',
            id,
          });
        }
      }),
    );
    assert.equal(parseRevocationKey('team-a.subscription.x'), undefined);
  });

  it('keeps the ids that targets had before there were digests', () => {
    assert.equal(revocationId({ subject: 'alice' }), 'Sg66WKZz8z6zbwrQXZkqdvZE7Li1HPT5miRguBroi1Q');
    assert.equal(
      revocationId({ subject: 'alice', tokenId: 't' }),
      '0Gu_H8PSBWB7AAiM5Zc_BRygSwyV7tANb7Y4KSzDNw4',
    );
  });
});

describe('whatever comes as a body', () => {
  it('is read or refused with an error of ours', () => {
    const connection = fc.oneof(
      fc.jsonValue(),
      fc.stringMatching(/^[A-Za-z0-9_-]{15,17}\.[A-Za-z0-9_-]{7,9}$/),
    );
    const body = fc.record(
      {
        ...{ subject: fc.jsonValue(), tokenId: fc.jsonValue(), connection },
        ...{ issuedBefore: fc.jsonValue(), until: fc.jsonValue() },
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), body), (value) => {
        try {
          const { subject, tokenId, tokenDigest, until } = parseTerms(value, 0, 1_000);
          assert.ok([subject, tokenId, tokenDigest].some((given) => given !== undefined));
          assert.ok(tokenDigest === undefined || /^[A-Za-z0-9_-]{16}$/.test(tokenDigest));
          assert.ok(until > 0);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'request_invalid', String(error));
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('parseTerms', () => {
  const now = Date.UTC(2030, 0, 1);
  it('ends after the longest life of a token and a minute', () => {
    assert.deepEqual(parseTerms({ subject: 'alice' }, now, 1_000), { subject: 'alice', until: now + 61_000 });
    const tenYears = 10 * 366 * 86_400_000;
    assert.equal(parseTerms({ subject: 'alice' }, now, tenYears).until, now + tenYears + 60_000);
  });
  it('knows the token by a connection', () => {
    const body = { connection: 'abcdefghijklmn_-.12345678', until: '2030-01-01T00:00:01Z' };
    assert.deepEqual(parseTerms(body, now, 1_000), { tokenDigest: 'abcdefghijklmn_-', until: now + 1_000 });
  });
  it('reads every field', () => {
    const body = {
      subject: 'alice',
      tokenId: 'jti-1',
      issuedBefore: '2029-12-31T23:59:59.5+01:00',
      until: '2030-01-01T00:00:01Z',
    };
    assert.deepEqual(parseTerms(body, now, 1_000), {
      subject: 'alice',
      tokenId: 'jti-1',
      issuedBefore: Date.UTC(2029, 11, 31, 22, 59, 59, 500),
      until: now + 1_000,
    });
  });

  for (const [body, message] of [
    [null, /JSON object/],
    [[], /JSON object/],
    ['alice', /JSON object/],
    [{}, /"subject", "tokenId"/],
    [{ subject: '' }, /1 to 1024 bytes/],
    [{ subject: 7 }, /1 to 1024 bytes/],
    [{ subject: null }, /1 to 1024 bytes/],
    [{ subject: 'x'.repeat(1_025) }, /1 to 1024 bytes/],
    [{ subject: '\ud800' }, /UTF-8/],
    [{ tokenId: {} }, /"tokenId"/],
    [{ connection: '' }, /"connection" is an id/],
    [{ connection: null }, /"connection" is an id.* a null/],
    [{ connection: 7 }, /"connection" is an id.* a number/],
    [{ connection: 'abcdefghijklmnop' }, /not "abcdefghijklmnop"/],
    [{ connection: 'abcdefghijklmnop.1234567' }, /"connection" is an id/],
    [{ connection: 'abcdefghijklmnop.123456789' }, /"connection" is an id/],
    [{ connection: 'abcdefghijklmno/.12345678' }, /"connection" is an id/],
    [{ connection: 'abcdefghijklmnop.12345678\n' }, /"connection" is an id/],
    [{ connection: 'abcdefghijklmnop.12345678', subject: 'a' }, /only "until" goes with it/],
    [{ connection: 'abcdefghijklmnop.12345678', tokenId: 'a' }, /only "until" goes with it/],
    [
      { connection: 'abcdefghijklmnop.12345678', issuedBefore: '2029-12-31T00:00:00Z' },
      /only "until" goes with it/,
    ],
    [{ tokenDigest: 'abcdefghijklmnop' }, /"tokenDigest" is no field/],
    [{ subject: 'a', sub: 'b' }, /"sub" is no field/],
    [JSON.parse('{"subject":"a","__proto__":{"x":1}}'), /"__proto__" is no field/],
    [{ subject: 'a', until: 1_900_000_000 }, /"until" is a time.* a number/],
    [{ subject: 'a', until: '2030-01-01' }, /"until" is a time/],
    [{ subject: 'a', until: '2030-13-01T00:00:00Z' }, /"until" is a time/],
    [{ subject: 'a', until: '2029-12-31T00:00:00Z' }, /"until" is past/],
    [{ subject: 'a', until: '2130-12-31T00:00:00Z' }, /ten years/],
    [{ subject: 'a', issuedBefore: null }, /"issuedBefore" is a time.* a null/],
    [{ subject: 'a', issuedBefore: 'yesterday' }, /not "yesterday"/],
  ] as const) {
    it(`refuses ${JSON.stringify(body)?.slice(0, 60)}`, () => {
      assert.throws(() => parseTerms(body, now, 1_000), { code: 'request_invalid', message });
    });
  }
});
