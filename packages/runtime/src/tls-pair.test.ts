import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Authority, withoutOpenssl } from '@pushfleet/contract';
import { ConfigError } from './config.ts';
import { isLoopback, tlsPair } from './tls-pair.ts';

const none = { cert: undefined, key: undefined, clientCa: undefined };

it('nothing configured is no TLS; a part of it is refused', () => {
  assert.equal(tlsPair('A_TLS', none), undefined);
  for (const part of ['cert', 'key', 'clientCa']) {
    assert.throws(
      () => tlsPair('A_TLS', { ...none, [part]: 'x' }),
      /A_TLS_CERT and A_TLS_KEY belong together/,
    );
  }
});

describe('what cannot be used is refused when it is read', { skip: withoutOpenssl }, () => {
  const authority = new Authority();
  after(() => authority.close());
  const [one, other] = [authority.issue('DNS:a'), authority.issue('DNS:b')];
  const clientCa = authority.cert;

  it('not what belongs together', () => {
    assert.deepEqual(tlsPair('A_TLS', { ...one, clientCa: undefined }), one);
    assert.deepEqual(tlsPair('A_TLS', { ...one, clientCa }), { ...one, clientCa });
    const clientCrl = authority.revocations(other);
    assert.deepEqual(tlsPair('A_TLS', { ...one, clientCa, clientCrl }), { ...one, clientCa, clientCrl });
  });

  for (const [what, given, named] of [
    ['a text', { ...one, cert: 'x' }, /A_TLS_CERT and A_TLS_KEY are not usable/],
    ['the key of another', { ...one, key: other.key }, /A_TLS_CERT and A_TLS_KEY are not usable/],
    ['no authority', { ...one, clientCa: 'x' }, /A_TLS_CLIENT_CA is not usable/],
    ['no list', { ...one, clientCa, clientCrl: 'x' }, /A_TLS_CLIENT_CRL is not usable/],
    ['a list of nobody', { ...one, clientCrl: 'x' }, /A_TLS_CLIENT_CRL needs A_TLS_CLIENT_CA/],
  ] as const) {
    it(what, () =>
      assert.throws(
        () => tlsPair('A_TLS', { ...none, ...given }),
        (error) =>
          error instanceof ConfigError && named.test(error.message) && !error.message.includes(one.key),
      ),
    );
  }
});

it('loopback is 127.0.0.0/8, ::1 and localhost', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) assert.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.example.com', '']) assert.ok(!isLoopback(host), host);
});
