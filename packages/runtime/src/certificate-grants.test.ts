import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import type { DetailedPeerCertificate } from 'node:tls';
import { Authority, withoutOpenssl } from '@pushfleet/contract';
import type { Topic } from '@pushfleet/core';
import fc from 'fast-check';
import { certificateGrant, parseCertificateRules } from './certificate-grants.ts';

const grants = { publish: ['devices/{sub}/#'] };
const now = Date.parse('2030-01-01');

/** A certificate as Node shows it, signed by one with the fingerprint CA:CA:…. */
function shown(over: object = {}): DetailedPeerCertificate {
  const ca = { fingerprint256: Array(32).fill('CA').join(':') } as DetailedPeerCertificate;
  ca.issuerCertificate = ca;
  return {
    subject: { CN: 'sensor-7', OU: 'plant' },
    subjectaltname: 'DNS:a.example, URI:urn:device:7',
    ...{ fingerprint256: Array(32).fill('0B').join(':'), issuerCertificate: ca },
    ...{ valid_from: 'Jan  1 00:00:00 2029 GMT', valid_to: 'Jan  2 00:00:00 2030 GMT' },
    ...over,
  } as DetailedPeerCertificate;
}

const grantOf = (rules: unknown, certificate = shown()) =>
  certificateGrant(parseCertificateRules(JSON.stringify(rules)), certificate, now);

describe('whom a certificate names', () => {
  it('as the operator says: one of its names, and what that may do', () => {
    const grant = grantOf([{ subject: 'CN', grants }]);
    assert.equal(grant?.subject, 'sensor-7');
    assert.equal(grant.namespace, 'default');
    assert.ok(grant.mayPublish('devices/sensor-7/a' as Topic));
    assert.ok(!grant.mayPublish('devices/sensor-8/a' as Topic));
    assert.equal(grant.expiresAt, Date.parse('2030-01-02T00:00:00Z'));
    assert.equal(grant.issuedAt, Date.parse('2029-01-01T00:00:00Z'));
    assert.equal(grant.tokenId, '0b'.repeat(32));
    assert.match(grant.tokenDigest, /^[\w-]{16}$/);
  });

  for (const [kind, name] of [
    ['DNS', 'a.example'],
    ['URI', 'urn:device:7'],
  ] as const) {
    it(`by its ${kind}`, () =>
      assert.equal(grantOf([{ subject: kind, grants: { publish: ['a'] } }])?.subject, name));
  }

  it('nobody without a rule', () => assert.equal(grantOf([]), undefined));

  it('nobody where the name is missing, empty, or there twice', () => {
    const rule = [{ subject: 'CN', grants }];
    for (const subject of [{}, { CN: '' }, { CN: ['a', 'b'] }]) {
      assert.equal(grantOf(rule, shown({ subject })), undefined);
    }
    const dns = [{ subject: 'DNS', grants: { publish: ['a'] } }];
    for (const subjectaltname of [undefined, '', 'URI:x', 'DNS:a, DNS:b', 'DNS:']) {
      assert.equal(grantOf(dns, shown({ subjectaltname })), undefined, subjectaltname);
    }
  });

  it('by the first rule that it fits', () => {
    const rules = [
      { subject: 'CN', require: { OU: 'office' }, namespace: 'office', grants: {} },
      { subject: 'CN', require: { OU: 'plant' }, namespace: 'plant', grants: {} },
      { subject: 'CN', namespace: 'rest', grants: {} },
    ];
    assert.equal(grantOf(rules)?.namespace, 'plant');
    assert.equal(grantOf(rules, shown({ subject: { CN: 'x' } }))?.namespace, 'rest');
    assert.equal(grantOf(rules, shown({ subject: { CN: 'x', OU: ['plant', 'y'] } }))?.namespace, 'rest');
  });

  it('where an authority is named, only with it in the chain', () => {
    const rule = (authority: string) => [{ subject: 'CN', authority, grants: {} }];
    assert.ok(grantOf(rule('ca'.repeat(32))));
    assert.ok(grantOf(rule(Array(32).fill('CA').join(':'))));
    assert.equal(grantOf(rule('cb'.repeat(32))), undefined);
    // The certificate itself is not who signed it.
    assert.equal(grantOf(rule('0b'.repeat(32))), undefined);
    assert.equal(grantOf(rule('ca'.repeat(32)), shown({ issuerCertificate: undefined })), undefined);
  });

  it('not once it has run out', () => {
    const expired = shown({ valid_to: 'Jan  1 00:00:00 2030 GMT' });
    assert.throws(() => grantOf([{ subject: 'CN', grants }], expired), { code: 'token_expired' });
  });

  it('not where its name would widen a grant', () => {
    for (const CN of ['+', '#', 'a/b', '$x']) {
      const sub = [{ subject: 'CN', grants: { publish: ['{sub}/#'] } }];
      assert.throws(() => grantOf(sub, shown({ subject: { CN } })), { code: 'unauthenticated' }, CN);
    }
  });
});

describe('an alternative name', () => {
  it('cannot be made of the text of another', () => {
    const rule = [{ subject: 'DNS', grants: {} }];
    const of = (subjectaltname: string) => grantOf(rule, shown({ subjectaltname }))?.subject;
    assert.equal(of('URI:"http://x/, DNS:evil.example", DNS:good.example'), 'good.example');
    assert.equal(of('URI:"http://x/, DNS:evil.example"'), undefined);
    assert.equal(of('DNS:"a\\"b"'), 'a"b');
    assert.equal(of('DNS:a, what is this'), undefined);
    assert.equal(of('DNS:"never closed'), undefined);
    assert.equal(of('DNS:"\\x"'), undefined);
  });

  it('whatever the text is', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        grantOf([{ subject: 'DNS', grants: {} }], shown({ subjectaltname: text }));
      }),
    );
  });
});

describe('certificates that openssl made', { skip: withoutOpenssl }, () => {
  const authority = new Authority();
  after(() => authority.close());
  const real = (names: string, subject: string) => {
    const leaf = new X509Certificate(authority.issue(names, { subject }).cert).toLegacyObject();
    const ca = new X509Certificate(authority.cert).toLegacyObject();
    return { ...leaf, issuerCertificate: ca } as unknown as DetailedPeerCertificate;
  };
  const subjectOf = (kind: string, certificate: DetailedPeerCertificate) =>
    certificateGrant(
      parseCertificateRules(JSON.stringify([{ subject: kind, grants: {} }])),
      certificate,
      Date.now(),
    )?.subject;

  it('are read as they were meant', () => {
    const one = real('DNS:a.example,email:a@b.example,URI:urn:x', '/O=Org/OU=plant/CN=sensor-7');
    assert.equal(subjectOf('CN', one), 'sensor-7');
    assert.equal(subjectOf('DNS', one), 'a.example');
    assert.equal(subjectOf('email', one), 'a@b.example');
    assert.equal(subjectOf('URI', one), 'urn:x');
    assert.equal(subjectOf('CN', real('DNS:a', '/CN=a/CN=b')), undefined);
  });
});

it('the example of deploy/ is one', () => {
  const file = new URL('../../../deploy/certificates.example.json', import.meta.url);
  assert.equal(parseCertificateRules(readFileSync(file, 'utf8')).length, 2);
});

describe('rules that mean nothing are refused', () => {
  const rows: readonly [string, RegExp][] = [
    ['{', /not JSON/],
    ['{}', /no list/],
    ['[1]', /entry 1 is no object/],
    ['[{"subject":"CN","grants":{}},{"subject":"O","grants":{}}]', /entry 2 has a "subject"/],
    ['[{"subject":"CN"}]', /no object of lists/],
    ['[{"subject":"CN","grants":{"read":[]}}]', /"read", which is none of/],
    ['[{"subject":"CN","grants":{"publish":["a/#/b"]}}]', /filter under "publish"/],
    ['[{"subject":"CN","grants":{},"require":{"OU":1}}]', /"require"/],
    ['[{"subject":"CN","grants":{},"authority":"ab"}]', /"authority"/],
    ['[{"subject":"CN","grants":{},"namespace":"a b"}]', /"namespace"/],
    ['[{"subject":"CN","grants":{},"what":1}]', /unknown member "what"/],
  ];
  for (const [text, message] of rows)
    it(text, () => assert.throws(() => parseCertificateRules(text), message));
});
