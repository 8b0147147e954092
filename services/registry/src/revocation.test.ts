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
          { subject: tokenId, tokenId: subject },
        ].map(revocationId);
        assert.equal(new Set(ids).size, subject === tokenId ? 3 : 4);
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
});

describe('parseTerms', () => {
  const now = Date.UTC(2030, 0, 1);
  it('fills in the end', () => {
    assert.deepEqual(parseTerms({ subject: 'alice' }, now, 1_000), { subject: 'alice', until: now + 1_000 });
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
