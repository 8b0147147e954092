import assert from 'node:assert/strict';
import { createHmac, createPublicKey, verify } from 'node:crypto';
import { describe, test } from 'node:test';
import { SigningScheme } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { signatures } from './signature.ts';
import { ed25519Secret, hmacSecret, secretText } from './testing.ts';

const id = 'msg_AbCdEfGhIjKlMnOpQrStUv';
const now = Math.floor(Date.now() / 1_000);
const body = Buffer.from('{"price":"10 €"}');
const signed = { id, timestamp: now, body };
const at = (seconds: number) => new Date((now + seconds) * 1_000);
const headers = (signature: string) => ({
  'webhook-id': id,
  'webhook-timestamp': String(now),
  'webhook-signature': signature,
});

test('the example of the specification, to the letter', () => {
  const secret = hmacSecret({ secret: Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64') });
  const example = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: 1_614_265_330,
    body: Buffer.from('{"test": 2432232314}'),
  };
  assert.equal(signatures([secret], example), 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});

test('HMAC is over the id, the timestamp and the bytes of the body, whatever they are', () => {
  const secret = hmacSecret();
  const bytes = Buffer.from([0, 0xff, 0x80, 0x0a]);
  const expected = createHmac('sha256', secret.secret).update(`${id}.${now}.`).update(bytes).digest('base64');
  assert.equal(signatures([secret], { ...signed, body: bytes }), `v1,${expected}`);
});

describe('others verify', () => {
  const secret = hmacSecret();
  const other = hmacSecret();
  for (const [name, Verifier] of [
    ['standardwebhooks', Webhook],
    ['svix', SvixWebhook],
  ] as const) {
    const verifies = (by: typeof secret, signature: string, text = body.toString()) =>
      new Verifier(secretText(by)).verify(text, headers(signature));

    test(`${name}: a signature`, () => {
      assert.doesNotThrow(() => verifies(secret, signatures([secret], signed)));
    });
    test(`${name}: while one secret replaces another, with either`, () => {
      const both = signatures([other, { ...secret, expiresAt: at(60) }], signed);
      assert.equal(both.split(' ').length, 2);
      assert.doesNotThrow(() => verifies(secret, both));
      assert.doesNotThrow(() => verifies(other, both));
    });
    test(`${name}: beside a signature of another kind`, () => {
      assert.doesNotThrow(() => verifies(secret, signatures([ed25519Secret(), secret], signed)));
    });
    test(`${name}: not what was changed, nor what another secret signed`, () => {
      const signature = signatures([secret], signed);
      assert.throws(() => verifies(secret, signature, '{"price":"1 €"}'), /No matching signature/);
      assert.throws(() => verifies(other, signature), /No matching signature/);
    });
  }
});

test('ed25519: node:crypto verifies what stands behind v1a', () => {
  const secret = ed25519Secret();
  const [version, signature = ''] = signatures([secret], signed).split(',');
  assert.equal(version, 'v1a');
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: secret.publicKey.toString('base64url') },
    format: 'jwk',
  });
  const content = Buffer.concat([Buffer.from(`${id}.${now}.`), body]);
  assert.ok(verify(null, content, key, Buffer.from(signature, 'base64')));
});

test('a secret signs until it expires, and not at that moment', () => {
  const newest = hmacSecret();
  const old = (seconds: number) => hmacSecret({ expiresAt: at(seconds) });
  assert.equal(signatures([newest, old(1)], signed).split(' ').length, 2);
  assert.equal(signatures([newest, old(0)], signed).split(' ').length, 1);
  assert.equal(signatures([newest, old(-1)], signed), signatures([newest], signed));
});

test('without a secret in force there is no signature', () => {
  const unknown = hmacSecret({ scheme: SigningScheme.SIGNING_SCHEME_UNSPECIFIED });
  assert.equal(signatures([], signed), '');
  assert.equal(signatures([hmacSecret({ expiresAt: at(-1) }), unknown], signed), '');
});
