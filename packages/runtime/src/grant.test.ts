import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseNamespace, type Topic, type TopicFilter } from '@pushfleet/core';
import type { Action } from './grant.ts';
import { grantOfClaims } from './testing.ts';

const payload = (pushfleet: unknown, rest: object = {}) => ({
  sub: 'alice',
  exp: 2_000_000_000,
  pushfleet,
  ...rest,
});
const grantOf = (pushfleet: unknown, rest: object = {}) => grantOfClaims(payload(pushfleet, rest));

const decisions: readonly (readonly [granted: object, action: Action, asked: string, allowed: boolean])[] = [
  [{ publish: ['a/b'] }, 'publish', 'a/b', true],
  [{ publish: ['a/b'] }, 'publish', 'a/c', false],
  [{ publish: ['a/b'] }, 'subscribe', 'a/b', false],
  [{ subscribe: ['a/#'] }, 'subscribe', 'a', true],
  [{ subscribe: ['a/#'] }, 'subscribe', 'a/+/c', true],
  [{ subscribe: ['a/#'] }, 'subscribe', '#', false],
  [{ subscribe: ['a/+'] }, 'subscribe', 'a/#', false],
  // Never narrowed, and never put together from several grants.
  [{ subscribe: ['a', 'a/+', 'a/+/#'] }, 'subscribe', 'a/#', false],
  [{ subscribe: ['#'] }, 'subscribe', '$sys/x', false],
  [{ subscribe: ['+/x'] }, 'subscribe', '$sys/x', false],
  [{ subscribe: ['$sys/#'] }, 'subscribe', '$sys/x', true],
  [{ publish: ['#'] }, 'publish', '$sys/x', false],
  // Presence topics need presence on what they tell about, whatever else is granted.
  [{ subscribe: ['#', '$presence/#'] }, 'subscribe', '$presence/a', false],
  [{ presence: ['a/#'] }, 'subscribe', '$presence/a/b', true],
  [{ presence: ['a/#'] }, 'subscribe', '$presence/#', false],
  [{ presence: ['#'] }, 'subscribe', '$presence/#', true],
  [{ presence: ['#'] }, 'subscribe', '$presence/$sys/x', false],
  [{ presence: ['a/#'] }, 'presence', 'a/b', true],
  [{ presence: ['a/#'] }, 'subscribe', 'a/b', false],
  [{ manage: true }, 'manage', '#', true],
  [{ manage: true }, 'manage', '$sys/x', false],
  [{ manage: true }, 'subscribe', 'a', false],
  [{ manage: false }, 'manage', 'a', false],
  [{ manage: ['a/#'] }, 'manage', 'b', false],
  [{ subscribe: ['user/{sub}/#'] }, 'subscribe', 'user/alice/inbox', true],
  [{ subscribe: ['user/{sub}/#'] }, 'subscribe', 'user/bob/inbox', false],
  [{ subscribe: ['{sub}/{sub}'] }, 'subscribe', 'alice/alice', true],
  [{}, 'subscribe', 'a', false],
];

describe('Grant', () => {
  for (const [granted, action, asked, allowed] of decisions) {
    it(`${JSON.stringify(granted)} ${allowed ? 'allows' : 'forbids'} to ${action} ${asked}`, () => {
      const grant = grantOf(granted);
      const may = {
        publish: () => grant.mayPublish(asked as Topic),
        subscribe: () => grant.maySubscribe(asked as TopicFilter),
        presence: () => grant.mayPresence(asked as TopicFilter),
        manage: () => grant.mayManage(asked as TopicFilter),
      };
      assert.equal(may[action](), allowed);
      if (allowed) grant.require(action, asked as TopicFilter);
      else assert.throws(() => grant.require(action, asked as TopicFilter), { code: 'forbidden' });
    });
  }

  it('tells what is missing', () => {
    assert.throws(() => grantOf({}).require('subscribe', 'a/#' as TopicFilter), {
      message:
        'The token does not allow you to subscribe to "a/#". It needs one filter under "subscribe" that covers all of it.',
      detail: { action: 'subscribe', filter: 'a/#' },
    });
    assert.throws(
      () => grantOf({}).require('subscribe', '$presence/a' as TopicFilter),
      /one filter under "presence"/,
    );
  });

  it('has the facts of the token', () => {
    const { subject, namespace, expiresAt, tokenId, issuedAt } = grantOf(
      {},
      { ns: 'team', jti: 'id', iat: 1_700_000_000 },
    );
    assert.deepEqual(
      { subject, namespace, expiresAt, tokenId, issuedAt },
      { subject: 'alice', namespace: 'team', expiresAt: 2e12, tokenId: 'id', issuedAt: 1.7e12 },
    );
    const plain = grantOf(undefined);
    assert.equal(plain.namespace, parseNamespace('default'));
    assert.ok(!('tokenId' in plain) && !('issuedAt' in plain));
    assert.ok(Object.isFrozen(plain));
    assert.equal(grantOfClaims({ sub: 'a', exp: 1e300 }, 'x').expiresAt, 8.64e15);
  });
});

describe('the claim', () => {
  const places: readonly (readonly [where: string | readonly string[], payload: object])[] = [
    ['pushfleet', { pushfleet: { publish: ['a'] } }],
    ['https://example.com/pushfleet', { 'https://example.com/pushfleet': { publish: ['a'] } }],
    [['resource_access', 'pushfleet'], { resource_access: { pushfleet: { publish: ['a'] } } }],
  ];
  for (const [where, claims] of places) {
    it(`is found at ${JSON.stringify(where)}`, () => {
      assert.ok(grantOfClaims({ sub: 'a', exp: 1, ...claims }, where).mayPublish('a' as Topic));
    });
  }

  it('is not found on a prototype or inside a text', () => {
    assert.ok(!grantOfClaims({ sub: 'a', exp: 1 }, ['__proto__', 'x']).mayPublish('a' as Topic));
    assert.ok(!grantOfClaims({ sub: 'a', exp: 1, x: 'text' }, ['x', 'length']).mayPublish('a' as Topic));
  });

  const malformed: readonly (readonly [what: string, claim: unknown, says: RegExp])[] = [
    ['a list', ['a'], /no object of lists/],
    ['a text', 'a', /no object of lists/],
    ['true', true, /no object of lists/],
    ['an unknown action', { subcribe: ['a'] }, /grants "subcribe", which is none of publish, subscribe/],
    ['a text for a list', { publish: 'a' }, /"publish" something that is no list/],
    ['true for a list', { publish: true }, /"publish" something that is no list/],
    ['a number in a list', { publish: [1] }, /"publish" something that is no topic filter/],
    ['an illegal filter', { publish: ['a/#/b'] }, /"publish" that cannot be used \("#" stands alone/],
    ['an empty filter', { publish: [''] }, /cannot be used/],
  ];
  for (const [what, claim, says] of malformed) {
    it(`is refused as ${what}`, () => {
      assert.throws(() => grantOf(claim), { code: 'unauthenticated', message: says });
    });
  }

  for (const sub of ['a/b', '+', '#', 'a+', 'a#', '$sys']) {
    it(`is refused where the subject ${sub} would stand for {sub} first`, () => {
      assert.throws(() => grantOf({ subscribe: ['{sub}/#'] }, { sub }), {
        code: 'unauthenticated',
        message: /cannot stand for \{sub\}/,
      });
    });
    it(`does not mind the subject ${sub} without {sub}`, () => {
      assert.ok(grantOf({ subscribe: ['news'] }, { sub }).maySubscribe('news' as TopicFilter));
    });
  }

  it('takes a subject with replacement patterns of JavaScript literally', () => {
    assert.ok(grantOf({ subscribe: ['u/{sub}'] }, { sub: '$&' }).maySubscribe('u/$&' as TopicFilter));
  });

  const claims: readonly (readonly [what: string, rest: object, code: string])[] = [
    ['no subject', { sub: undefined }, 'unauthenticated'],
    ['an empty subject', { sub: '' }, 'unauthenticated'],
    ['a subject that is a number', { sub: 5 }, 'unauthenticated'],
    ['no expiry', { exp: undefined }, 'unauthenticated'],
    ['an id that is a number', { jti: 5 }, 'unauthenticated'],
    ['a namespace that is a number', { ns: 5 }, 'unauthenticated'],
    ['an illegal namespace', { ns: 'a.b' }, 'forbidden'],
    ['an empty namespace', { ns: '' }, 'forbidden'],
  ];
  for (const [what, rest, code] of claims) {
    it(`is refused beside ${what}`, () => assert.throws(() => grantOf({}, rest), { code }));
  }
});
