import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseTopic, parseTopicFilter } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import { parseScramUsers, ScramUsers } from './scram-users.ts';
import { scramUser } from './testing.ts';

const parse = (...users: readonly object[]) => parseScramUsers(JSON.stringify(users));
const keys = `${'A'.repeat(43)}=:${'B'.repeat(43)}=`;
const salted = (bytes: number, iterations: number | string = 4_096): string =>
  `SCRAM-SHA-256$${iterations}:${Buffer.alloc(bytes, 1).toString('base64')}$${keys}`;
const entry = (over: object = {}): object => ({ user: 'u', verifier: salted(16), grants: {}, ...over });

suite('the users of SCRAM', () => {
  test('have a namespace, and grants in which {sub} is their name', () => {
    const grants = { publish: ['meters/{sub}/#'], subscribe: ['all'], presence: ['rooms/+'] };
    const [user] = parse(scramUser('m7', 'x', { namespace: 'plant', grants }));
    const grant = user?.grant;
    assert.ok(grant);
    assert.deepEqual([grant.subject, grant.namespace], ['m7', 'plant']);
    assert.equal(grant.mayPublish(parseTopic('meters/m7/a')), true);
    assert.equal(grant.mayPublish(parseTopic('meters/m8/a')), false);
    assert.equal(grant.maySubscribe(parseTopicFilter('$presence/rooms/1')), true);
    assert.equal(grant.mayManage(parseTopicFilter('#')), false);
    assert.equal(parse(entry())[0]?.grant.namespace, 'default');
  });

  test('are named by their salt, which is no secret, and never by what a password could be tried on', () => {
    const digest = (password: string, salt: Buffer) =>
      parse(scramUser('u', password, { salt }))[0]?.grant.tokenDigest;
    const [one, other] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
    assert.match(digest('a', one) as string, /^[\w-]{16}$/);
    assert.equal(digest('a', one), digest('b', one));
    assert.notEqual(digest('a', one), digest('a', other));
  });

  test('at each limit, and beyond it', () => {
    const legal = [
      entry({ user: 'x'.repeat(256) }),
      entry({ user: ' ~' }),
      entry({ verifier: salted(8) }),
      entry({ verifier: salted(64, 1_000_000) }),
    ];
    for (const one of legal) assert.equal(parse(one).length, 1);
    const illegal: [object, RegExp][] = [
      [entry({ user: 'x'.repeat(257) }), /Entry 1 has a "user"/],
      [entry({ user: '' }), /"user"/],
      [entry({ user: 'ü' }), /printable ASCII/],
      [entry({ user: undefined }), /"user"/],
      [entry({ verifier: salted(7) }), /salt/],
      [entry({ verifier: salted(65) }), /salt/],
      [entry({ verifier: salted(16, 4_095) }), /iterations/],
      [entry({ verifier: salted(16, 1_000_001) }), /iterations/],
      [entry({ verifier: salted(16).replace('256', '1') }), /"verifier"/],
      [entry({ verifier: 'pencil' }), /"verifier"/],
      [entry({ password: 'pencil' }), /unknown member "password"/],
      [entry({ namespace: 'a b' }), /"namespace"/],
      [entry({ namespace: 7 }), /"namespace"/],
      [entry({ grants: undefined }), /grants/],
      [entry({ grants: { publish: ['a/#/b'] } }), /grants a filter/],
      [entry({ user: 'a/b', grants: { publish: ['{sub}'] } }), /cannot stand for \{sub\}/],
      [[] as object, /no object/],
    ];
    for (const [one, says] of illegal) assert.throws(() => parse(one), says, JSON.stringify(one));
    assert.throws(() => parse(entry(), entry()), /Entry 2 .*another entry/);
    assert.throws(() => parseScramUsers('{'), { message: 'It is not JSON.' });
    assert.throws(() => parseScramUsers('{}'), /no list/);
    const many = (count: number) =>
      JSON.stringify(Array.from({ length: count }, (_, i) => entry({ user: `${i}` })));
    assert.equal(parseScramUsers(many(10_000)).length, 10_000);
    assert.throws(() => parseScramUsers(many(10_001)), /more than 10000/);
  });

  test('who is declared as before keeps its grant; the others’ grants are outdated', () => {
    const users = new ScramUsers(Buffer.alloc(32));
    const [a, b, c] = [scramUser('a', 'x'), scramUser('b', 'x'), scramUser('c', 'x')];
    users.replace(parse(a, b, c));
    const grants = ['a', 'b', 'c'].map((name) => users.find(name)?.grant as Grant);
    users.replace(parse(c, scramUser('b', 'y'), a));
    assert.deepEqual(
      grants.map((grant) => users.outdated(grant)),
      [false, true, false],
    );
    assert.equal(users.find('a')?.grant, grants[0]);
    users.replace(parse(a));
    assert.deepEqual(
      grants.map((grant) => users.outdated(grant)),
      [false, true, true],
    );
    assert.equal(users.find('c'), undefined);
    // A token of the same subject is not a user's.
    assert.equal(users.outdated({ ...(grants[2] as Grant) }), false);
    users.replace([]);
    const { salt, iterations } = users.pretend('anybody');
    assert.deepEqual([salt.length, iterations], [16, 4_096]);
  });
});
