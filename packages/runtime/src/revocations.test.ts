import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Namespace } from '@pushfleet/core';
import { createGrant, type GrantFacts } from './grant.ts';
import { type Revocation, Revocations } from './revocations.ts';

const never = 1e13;
const nothing = { publish: [], subscribe: [], presence: [], manage: [] };
const grant = (facts: Partial<GrantFacts> = {}) =>
  createGrant(
    {
      subject: 'alice',
      namespace: 'default' as Namespace,
      expiresAt: never,
      tokenId: 't1',
      tokenDigest: 'd1',
      issuedAt: 1_000,
      ...facts,
    },
    nothing,
  );
const revocation = (fields: Partial<Revocation>): Revocation => ({
  namespace: 'default',
  id: JSON.stringify([fields.subject, fields.tokenId, fields.tokenDigest]),
  until: never,
  revision: 1n,
  ...fields,
});

const cases: readonly (readonly [
  what: string,
  fields: Partial<Revocation>,
  facts: Partial<GrantFacts>,
  hit: boolean,
])[] = [
  ['the subject', { subject: 'alice' }, {}, true],
  ['another subject', { subject: 'bob' }, {}, false],
  ['the token', { tokenId: 't1' }, {}, true],
  ['another token', { tokenId: 't2' }, {}, false],
  ['the token of the subject', { subject: 'alice', tokenId: 't1' }, {}, true],
  ['the token of another subject', { subject: 'bob', tokenId: 't1' }, {}, false],
  ['a token where the grant has no id', { tokenId: 't1' }, { tokenId: undefined as never }, false],
  ['the token of a connection', { tokenDigest: 'd1' }, {}, true],
  ['the token of another connection', { tokenDigest: 'd2' }, {}, false],
  ['the digest of a token in another namespace', { tokenDigest: 'd1', namespace: 'team' }, {}, false],
  ['a digest that is the id of a token', { tokenDigest: 't1' }, {}, false],
  ['another namespace', { subject: 'alice', namespace: 'team' }, {}, false],
  ['tokens issued before, this one was', { subject: 'alice', issuedBefore: 1_001 }, {}, true],
  ['tokens issued before, this one at the time', { subject: 'alice', issuedBefore: 1_000 }, {}, false],
  [
    'tokens issued before, this one does not say',
    { subject: 'alice', issuedBefore: 1 },
    { issuedAt: undefined as never },
    true,
  ],
  ['until the past', { subject: 'alice', until: 5_000 }, {}, false],
  ['until later', { subject: 'alice', until: 5_001 }, {}, true],
  // A subject and a namespace that would run together if they were joined carelessly.
  ['a subject that looks like a token', { subject: 't1' }, { subject: 'x' }, false],
];

describe('Revocations', () => {
  for (const [what, fields, facts, hit] of cases) {
    it(`of ${what}: ${hit ? 'revoked' : 'not revoked'}`, () => {
      const list = new Revocations({ now: () => 5_000 });
      list.apply([revocation(fields)]);
      assert.equal(list.revoked(grant(facts)), hit);
    });
  }

  it('are lifted by a later revision alone', () => {
    const list = new Revocations();
    const alice = revocation({ subject: 'alice', revision: 5n });
    list.apply([alice]);
    list.apply([], [{ namespace: 'default', id: alice.id, revision: 4n }]);
    assert.ok(list.revoked(grant()));
    list.apply([], [{ namespace: 'default', id: alice.id, revision: 6n }]);
    assert.ok(!list.revoked(grant()));
    assert.equal(list.size, 0);
  });

  it('are changed in place: the greater revision counts', () => {
    const list = new Revocations();
    list.apply([revocation({ subject: 'alice', revision: 2n, issuedBefore: 500 })]);
    assert.ok(!list.revoked(grant()));
    list.apply([revocation({ subject: 'alice', revision: 3n })]);
    assert.ok(list.revoked(grant()));
    list.apply([revocation({ subject: 'alice', revision: 2n, issuedBefore: 500 })]);
    assert.ok(list.revoked(grant()));
    assert.equal(list.size, 1);
  });

  it('tell when the list has grown, not when it has shrunk', () => {
    const list = new Revocations();
    let told = 0;
    const stop = list.onRevoked(() => told++);
    list.apply([revocation({ subject: 'alice' })]);
    list.apply([], [{ namespace: 'default', id: 'x', revision: 2n }]);
    assert.equal(told, 1);
    stop();
    list.replace([revocation({ subject: 'bob' })]);
    assert.equal(told, 1);
    assert.ok(!list.revoked(grant()), 'a whole list replaces what was there');
  });

  it('leave the memory when they have ended', () => {
    let now = 0;
    const list = new Revocations({ now: () => now });
    list.apply(Array.from({ length: 100 }, (_, i) => revocation({ subject: `s${i}`, until: 1_000 })));
    assert.equal(list.size, 100);
    now = 61_000;
    list.apply([revocation({ subject: 'alice' })]);
    assert.equal(list.size, 1);
  });
});
