import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, PushfleetError, type Topic, type TopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import { parseIssuers } from './issuer.ts';
import { seconds, secret, sign, tokenConfig } from './testing.ts';
import { createTokenCheck } from './tokens.ts';

const roles = {
  writer: { publish: ['news/#'] },
  reader: { subscribe: ['news/#', 'inbox/{sub}'] },
  admin: { presence: ['#'], manage: true },
};
const checkOf = (issuer: object) =>
  createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([{ secret, ...issuer }]) })).check;

const held: readonly (readonly [what: string, claim: unknown, claims: object, can: readonly string[]])[] = [
  ['a list', 'roles', { roles: ['reader'] }, ['subscribe news/1', 'subscribe inbox/alice']],
  ['several', 'roles', { roles: ['writer', 'admin'] }, ['publish news/1', 'presence x', 'manage x']],
  ['one twice', 'roles', { roles: ['writer', 'writer'] }, ['publish news/1']],
  ['a text', 'scope', { scope: 'openid writer' }, ['publish news/1']],
  [
    'a text with wide spaces',
    'scope',
    { scope: ' writer  admin ' },
    ['publish news/1', 'presence x', 'manage x'],
  ],
  ['an empty text', 'scope', { scope: '' }, []],
  ['an empty list', 'roles', { roles: [] }, []],
  ['no claim', 'roles', {}, []],
  ['null', 'roles', { roles: null }, []],
  ['strangers alone', 'groups', { groups: ['offline_access', 'Writer', ' writer'] }, []],
  ['names of what every object has', 'roles', { roles: ['__proto__', 'constructor', 'toString'] }, []],
  [
    'far down',
    ['resource_access', 'pushfleet', 'roles'],
    { resource_access: { pushfleet: { roles: ['writer'] }, account: { roles: ['admin'] } } },
    ['publish news/1'],
  ],
  ['far down for another', ['resource_access', 'pushfleet', 'roles'], { resource_access: {} }, []],
  ['grants of its own in the default claim', 'roles', { pushfleet: { manage: true } }, []],
];

describe('roles', () => {
  for (const [what, claim, claims, can] of held) {
    it(`held as ${what} allow ${can.join(', ') || 'nothing'}`, async () => {
      const grant = await checkOf({ claim, roles })(await sign({ ...claims }, secret));
      const allowed = [
        ...(grant.mayPublish('news/1' as Topic) ? ['publish news/1'] : []),
        ...(grant.maySubscribe('news/1' as TopicFilter) ? ['subscribe news/1'] : []),
        ...(grant.maySubscribe('inbox/alice' as TopicFilter) ? ['subscribe inbox/alice'] : []),
        ...(grant.mayPresence('x' as TopicFilter) ? ['presence x'] : []),
        ...(grant.mayManage('x' as TopicFilter) ? ['manage x'] : []),
      ];
      assert.deepEqual(allowed, can);
      assert.ok(!grant.maySubscribe('inbox/bob' as TopicFilter));
    });
  }

  for (const value of [7, true, { writer: true }, ['writer', 7], [['writer']], [null]]) {
    it(`are refused as ${JSON.stringify(value)}`, async () => {
      const check = checkOf({ claim: 'roles', roles });
      await assert.rejects(sign({ roles: value }, secret).then(check), {
        code: 'unauthenticated',
        message: /has roles that are neither a list of names nor a text/,
      });
    });
  }

  it('never widen {sub} by a subject that reads as more than a level', async () => {
    const check = checkOf({ claim: 'roles', roles });
    for (const sub of ['+', '#', 'a/b', 'a#']) {
      await assert.rejects(sign({ sub, roles: ['reader'] }, secret).then(check), { code: 'unauthenticated' });
      await check(await sign({ sub, roles: ['writer'] }, secret));
    }
  });

  it('are the union of what each grants, whatever a token lists', async () => {
    const check = checkOf({ claim: 'roles', roles });
    const list = fc.oneof(
      fc.jsonValue(),
      fc.array(fc.oneof(fc.constantFrom(...Object.keys(roles)), fc.string())),
    );
    await fc.assert(
      fc.asyncProperty(list, async (value) => {
        const names = Array.isArray(value) ? value : typeof value === 'string' ? value.split(' ') : [];
        const has = (role: string) => names.includes(role);
        try {
          const grant = await check(await sign({ roles: value }, secret));
          assert.equal(grant.mayPublish('news/1' as Topic), has('writer'));
          assert.equal(grant.maySubscribe('news/#' as TopicFilter), has('reader'));
          assert.equal(grant.mayManage('#' as TopicFilter), has('admin'));
        } catch (error) {
          assert.ok(error instanceof PushfleetError && error.code === 'unauthenticated', String(error));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('what an issuer may say', () => {
  const cases: readonly (readonly [
    what: string,
    issuer: object,
    claims: Record<string, unknown>,
    outcome: { namespace?: string; subject?: string; tokenId?: string } | ErrorCode,
  ])[] = [
    ['any namespace', {}, { ns: 'red' }, { namespace: 'red' }],
    ['its namespace alone, unsaid', { namespace: 'red' }, {}, { namespace: 'red' }],
    ['its namespace alone, said', { namespace: 'red' }, { ns: 'red' }, { namespace: 'red' }],
    ['nothing for others', { namespace: 'red' }, { ns: 'blue' }, 'forbidden'],
    ['nothing for default', { namespace: 'red' }, { ns: 'default' }, 'forbidden'],
    [
      'a namespace elsewhere',
      { namespaceClaim: ['org', 'id'] },
      { org: { id: 'red' } },
      { namespace: 'red' },
    ],
    ['no default where it has a claim', { namespaceClaim: 'org' }, { ns: 'red' }, 'unauthenticated'],
    ['both, alike', { namespace: 'red', namespaceClaim: 'org' }, { org: 'red' }, { namespace: 'red' }],
    ['both, different', { namespace: 'red', namespaceClaim: 'org' }, { org: 'blue' }, 'forbidden'],
    ['both, unsaid', { namespace: 'red', namespaceClaim: 'org' }, { ns: 'blue' }, { namespace: 'red' }],
    ['an illegal namespace', { namespaceClaim: 'org' }, { org: 'a b' }, 'forbidden'],
    ['a namespace that is a list', { namespaceClaim: 'org' }, { org: ['red'] }, 'unauthenticated'],
    ['another subject', { subjectClaim: 'oid' }, { oid: 'o-1' }, { subject: 'o-1' }],
    ['no other subject', { subjectClaim: 'oid' }, {}, 'unauthenticated'],
    ['an empty subject', { subjectClaim: 'oid' }, { oid: '' }, 'unauthenticated'],
    ['a subject that is a number', { subjectClaim: 'oid' }, { oid: 1 }, 'unauthenticated'],
    ['another id', { tokenIdClaim: 'uti' }, { uti: 'u-1', jti: 'j' }, { tokenId: 'u-1' }],
    ['no other id', { tokenIdClaim: 'uti' }, { jti: 'j' }, { tokenId: undefined as never }],
    ['an id that is a list', { tokenIdClaim: 'uti' }, { uti: [] }, 'unauthenticated'],
    ['what is required', { require: { typ: 'Bearer', azp: 'x' } }, { typ: 'Bearer', azp: 'x' }, {}],
    ['another than is required', { require: { typ: 'Bearer' } }, { typ: 'ID' }, 'unauthenticated'],
    [
      'not all that is required',
      { require: { typ: 'Bearer', azp: 'x' } },
      { typ: 'Bearer' },
      'unauthenticated',
    ],
    ['a list of what is required', { require: { typ: 'Bearer' } }, { typ: ['Bearer'] }, 'unauthenticated'],
    ['nothing of what all objects have', { require: { toString: 'x' } }, {}, 'unauthenticated'],
  ];
  for (const [what, issuer, claims, outcome] of cases) {
    it(`${what}: ${JSON.stringify(outcome)}`, async () => {
      const checked = sign(claims, secret).then(checkOf(issuer));
      if (typeof outcome === 'string') return assert.rejects(checked, { code: outcome });
      const { namespace, subject, tokenId } = await checked;
      assert.deepEqual({ namespace, subject, tokenId, ...outcome }, { namespace, subject, tokenId });
    });
  }

  const types: readonly (readonly [typ: string | undefined, accepted: boolean])[] = [
    ['at+jwt', true],
    ['application/at+jwt', true],
    ['AT+JWT', true],
    ['JWT', false],
    [undefined, false],
  ];
  for (const [typ, accepted] of types) {
    it(`${accepted ? 'an' : 'no'} access token with the header "typ" ${typ}`, async () => {
      const header = { alg: 'HS256', ...(typ === undefined ? {} : { typ }) };
      const checked = sign({}, secret, header).then(checkOf({ tokenType: 'at+jwt' }));
      if (accepted) await checked;
      else await assert.rejects(checked, { code: 'unauthenticated', message: /not an ID token/ });
    });
  }
});

describe('the life of a token', () => {
  const { check } = createTokenCheck(
    tokenConfig({ PUSHFLEET_TOKEN_SECRET: secret, PUSHFLEET_TOKEN_MAX_LIFETIME: '1h' }),
  );
  const lives: readonly (readonly [iat: number | undefined, exp: number, good: boolean])[] = [
    [0, 3_590, true],
    [0, 3_600, true],
    [undefined, 3_600, true],
    [-3_000, 600, true],
    [0, 3_620, false],
    [undefined, 3_620, false],
    // Little is left of it, and it is still one that lives too long.
    [-3_620, 60, false],
    [-86_400, 10, false],
    // Issued in the future, so that it seems to live an hour.
    [86_400, 90_000, false],
    [0, 1e15, false],
  ];
  for (const [iat, exp, good] of lives) {
    it(`from ${iat ?? 'an unknown time'} to ${exp} s is ${good ? 'short' : 'too long'}`, async () => {
      const claims = { exp: seconds(exp), ...(iat === undefined ? {} : { iat: seconds(iat) }) };
      const checked = sign(claims, secret).then(check);
      if (good) await checked;
      else
        await assert.rejects(checked, {
          code: 'unauthenticated',
          message: /good for .*accepts 60 min at most/,
        });
    });
  }
});

describe('the list of issuers', () => {
  const wrong: readonly (readonly [entry: object, says: RegExp])[] = [
    [{ issuer: 'https://x/?a' }, /needs one, or an "issuer" that is a URL/],
    [{ issuer: 'ftp://x' }, /needs one, or an "issuer" that is a URL/],
    [{}, /needs one, or an "issuer" that is a URL/],
    [{ secret, roles: {} }, /"roles" but no "claim"/],
    [{ secret, claim: 'r', roles: [] }, /"roles" that are no object/],
    [{ secret, claim: 'r', roles: null }, /"roles" that are no object/],
    [{ secret, claim: 'r', roles: { a: true } }, /role "a" that has grants that are no object/],
    [
      { secret, claim: 'r', roles: { a: { subcribe: [] } } },
      /role "a" that grants "subcribe", which is none/,
    ],
    [
      { secret, claim: 'r', roles: { a: { publish: '#' } } },
      /role "a" that grants under "publish" something/,
    ],
    [
      { secret, claim: 'r', roles: { a: { publish: ['#/a'] } } },
      /role "a" that grants a filter under "publish"/,
    ],
    [{ secret, claim: 'r', roles: { a: { publish: [1] } } }, /no topic filter/],
    [{ secret, namespace: '' }, /empty "namespace"/],
    [{ secret, namespace: 'a.b' }, /"namespace" that cannot be used/],
    [{ secret, namespace: 7 }, /"namespace" or one that is no text/],
    [{ secret, namespaceClaim: [] }, /"namespaceClaim" that is no name/],
    [{ secret, subjectClaim: '' }, /"subjectClaim" that is no name/],
    [{ secret, tokenIdClaim: [''] }, /"tokenIdClaim" that is no name/],
    [{ secret, tokenType: '' }, /empty "tokenType"/],
    [{ secret, require: 'typ' }, /"require" that is no object/],
    [{ secret, require: { typ: '' } }, /"require" that is no object/],
    [{ secret, require: { typ: ['Bearer'] } }, /"require" that is no object/],
  ];
  for (const [entry, says] of wrong) {
    it(`is refused with ${JSON.stringify({ ...entry, secret: undefined })}`, () => {
      assert.throws(
        () => parseIssuers(JSON.stringify([entry])),
        (error) => {
          assert.match((error as Error).message, says);
          return !(error as Error).message.includes(secret);
        },
      );
    });
  }
});
