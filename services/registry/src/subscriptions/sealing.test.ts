import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { ConfigError, readConfig } from '@pushfleet/runtime';
import fc from 'fast-check';
import { fields } from '../config.ts';
import { Sealing } from './sealing.ts';
import { parseSealingKeys } from './sealing-keys.ts';
import { keepSecrets, readSecrets, withoutSecrets } from './secret-fields.ts';
import { draft, notified, webhook, webpush, websub } from './testing.ts';

const keyText = (id: string, fill: number): string => `${id}:${Buffer.alloc(32, fill).toString('base64')}`;
const sealingOf = (...texts: string[]): Sealing => new Sealing(parseSealingKeys(texts.join(',')));
const [k1, k2] = [keyText('k1', 1), keyText('k2', 2)];
const one = sealingOf(k1);

const all = [webhook(), websub(), webpush(), notified()].map((target) => draft({ id: 'a', target }));
const secrets = [
  'a signing secret of 32 bytes',
  'Bearer of a secret',
  'hub.secret in clear',
  'sixteen bytes',
  'push.example/send/capability',
];

describe('Sealing', () => {
  it('leaves nothing in clear, and gives back what it took', () => {
    for (const record of all) {
      const sealed = one.seal(record);
      const stored = Buffer.from(Subscription.encode(sealed).finish());
      for (const secret of secrets) assert.ok(!stored.includes(secret), secret);
      assert.deepEqual(
        one.open(Subscription.decode(stored)),
        Subscription.decode(Subscription.encode(record).finish()),
      );
    }
  });

  it('gives back any secret, never twice the same ciphertext', () => {
    const value = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(value, fc.string({ minLength: 1, unit: 'binary' }), (secret, text) => {
        const [, , push] = all;
        assert.ok(push?.target?.$case === 'webpush');
        const webpush = { ...push.target.webpush, auth: secret, endpoint: text };
        const record = { ...push, target: { ...push.target, webpush } };
        const [first, second] = [one.seal(record), one.seal(record)];
        assert.deepEqual(one.open(first), record);
        assert.notDeepEqual(readSecrets(first), readSecrets(second));
      }),
    );
  });

  it('opens a secret in its own place alone', () => {
    const sealed = one.seal(draft({ id: 'a' }));
    for (const moved of [
      { ...sealed, id: 'b' },
      { ...sealed, namespace: 'other' },
    ]) {
      assert.throws(() => one.open(moved), { code: 'internal', message: /does not open with the key "k1"/ });
    }
    assert.ok(sealed.target?.$case === 'webhook');
    const [secret] = sealed.target.webhook.secrets;
    assert.ok(secret !== undefined);
    const renamed = webhook({ secrets: [{ ...secret, keyId: 'two' }], headers: [] });
    assert.throws(() => one.open({ ...sealed, target: renamed }), { code: 'internal' });
  });

  it('refuses a secret with any bit changed', () => {
    const sealed = one.seal(draft({ id: 'a', target: websub() }));
    assert.ok(sealed.target?.$case === 'websub');
    const { websub: target } = sealed.target;
    fc.assert(
      fc.property(fc.nat(target.secret.length * 8 - 1), (bit) => {
        const secret = Buffer.from(target.secret);
        secret.writeUInt8(secret.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const changed = { ...sealed, target: { $case: 'websub' as const, websub: { ...target, secret } } };
        assert.throws(() => one.open(changed));
      }),
    );
  });

  it('opens what an older key sealed, and knows that it is older', () => {
    const sealed = one.seal(draft({ id: 'a' }));
    const both = sealingOf(k2, k1);
    assert.deepEqual(both.open(sealed), draft({ id: 'a' }));
    assert.deepEqual([one.isOutdated(sealed), both.isOutdated(sealed)], [false, true]);
    assert.equal(both.isOutdated(both.seal(both.open(sealed))), false);
    assert.equal(both.isOutdated(one.seal(draft({ id: 'a', target: notified() }))), false, 'it has none');
  });

  it('names a key that is missing, and no secret', () => {
    const sealed = one.seal(draft({ id: 'a' }));
    assert.throws(() => sealingOf(k2).open(sealed), {
      code: 'unavailable',
      message: /The key "k1" is missing, .*"default\/a\/webhook\.secrets\/one".*PUSHFLEET_SECRETS_KEYS/,
    });
  });

  it('keeps nothing in clear without a key', () => {
    const none = new Sealing([]);
    assert.throws(() => none.seal(draft({ id: 'a' })), {
      code: 'unavailable',
      message: /PUSHFLEET_SECRETS_KEYS/,
    });
    const open = draft({ id: 'a', target: webhook({ secrets: [], headers: [] }) });
    assert.deepEqual(none.seal(open), open);
  });
});

describe('a record without secrets', () => {
  it('gets back the held ones where it is written', () => {
    for (const record of all) assert.deepEqual(keepSecrets(withoutSecrets(record), record), record);
  });

  it('gets none for a WebSub subscriber that wants no signature', () => {
    const held = draft({ target: websub() });
    assert.ok(held.target?.$case === 'websub');
    const { secret: _, ...rest } = held.target.websub;
    const target = { ...rest, secret: Buffer.alloc(0), signatureMethod: '' };
    const kept = keepSecrets({ ...held, target: { $case: 'websub', websub: target } }, held);
    assert.ok(kept.target?.$case === 'websub');
    assert.equal(kept.target.websub.secret.length, 0);
    assert.deepEqual(
      kept.target.websub.requests,
      held.target.websub.requests,
      'what was asked for keeps its own',
    );
  });
});

describe('PUSHFLEET_SECRETS_KEYS', () => {
  it('is a list by commas or lines, in both alphabets of base64', () => {
    const url = `k3:${Buffer.alloc(32, 255).toString('base64url')}`;
    const keys = parseSealingKeys(`${k1}, ${k2}\n${url}\n`);
    assert.deepEqual(
      keys.map(({ id }) => id),
      ['k1', 'k2', 'k3'],
    );
    assert.deepEqual(keys[2]?.key.export(), Buffer.alloc(32, 255));
  });

  it('refuses what is none, without showing it', () => {
    const material = Buffer.alloc(31, 9).toString('base64');
    const many = Array.from({ length: 17 }, (_, n) => keyText(`k${n}`, n)).join(',');
    for (const text of ['', ' , ', `k1:${material}`, material, `a b:${material}`, `${k1},${k1}`, many]) {
      assert.throws(
        () => parseSealingKeys(text),
        (error: Error) => !error.message.includes(material.slice(0, 10)) && error.message.length > 10,
      );
    }
    const env = { PUSHFLEET_TOKEN_SECRET: 'a secret of the tests that is long enough' };
    assert.throws(
      () => readConfig(fields, { ...env, PUSHFLEET_SECRETS_KEYS: `k1:${material}` }),
      (error: unknown) => error instanceof ConfigError && !String(error.message).includes(material),
    );
    assert.equal(
      readConfig(fields, { ...env, PUSHFLEET_SECRETS_KEYS: `${k1}\n${k2}` }).secretsKeys?.length,
      2,
    );
    assert.equal(readConfig(fields, env).secretsKeys, undefined);
  });
});
