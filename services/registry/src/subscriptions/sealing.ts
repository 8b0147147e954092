import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { PushfleetError, quote } from '@pushfleet/core';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { SealingKey } from './sealing-keys.ts';
import { mapSecrets, readSecrets } from './secret-fields.ts';

// A sealed secret: version, length of the key's id, the id, nonce, ciphertext, tag. Text is that in base64url.
const version = 1;
const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Encrypts the secrets of subscriptions with AES-256-GCM, bound to namespace, id and field: a sealed secret that is
 * moved to another place does not open there.
 */
export class Sealing {
  readonly #keys: readonly SealingKey[];

  /** @param keys the first seals, all open; none: nothing can be sealed */
  constructor(keys: readonly SealingKey[]) {
    this.#keys = keys;
  }

  /** How many keys there are. */
  get keys(): number {
    return this.#keys.length;
  }

  /**
   * The record with its secrets encrypted. An empty secret is none and stays empty.
   *
   * @throws PushfleetError `unavailable` where it has a secret and there is no key
   */
  seal(record: Subscription): Subscription {
    const bytes = (value: Buffer, field: string): Buffer =>
      value.length === 0 ? value : this.#encrypt(value, placeOf(record, field));
    const text = (value: string, field: string) => bytes(Buffer.from(value), field).toString('base64url');
    return mapSecrets(record, { bytes, text });
  }

  /**
   * The record with its secrets in clear.
   *
   * @throws PushfleetError `unavailable` where a key is missing, `internal` where a secret does not open
   */
  open(sealed: Subscription): Subscription {
    const bytes = (value: Buffer, field: string): Buffer =>
      value.length === 0 ? value : this.#decrypt(value, placeOf(sealed, field));
    const text = (value: string, field: string) => bytes(Buffer.from(value, 'base64url'), field).toString();
    return mapSecrets(sealed, { bytes, text });
  }

  /** Whether some secret of the record is sealed under another key than the first. */
  isOutdated(sealed: Subscription): boolean {
    const { bytes, texts } = readSecrets(sealed);
    const secrets = [...bytes.values(), ...[...texts.values()].map((text) => Buffer.from(text, 'base64url'))];
    return secrets.some((secret) => secret.length > 0 && keyIdOf(secret) !== this.#keys[0]?.id);
  }

  #encrypt(value: Buffer, place: string): Buffer {
    const [first] = this.#keys;
    if (first === undefined) {
      throw new PushfleetError(
        'unavailable',
        'The registry has no key to encrypt secrets with, and keeps none in clear. Its operator sets PUSHFLEET_SECRETS_KEYS; docs/security.md says how.',
      );
    }
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, first.key, nonce).setAAD(Buffer.from(place));
    const head = Buffer.concat([Buffer.from([version, first.id.length]), Buffer.from(first.id), nonce]);
    return Buffer.concat([head, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
  }

  #decrypt(sealed: Buffer, place: string): Buffer {
    const id = keyIdOf(sealed);
    const found = this.#keys.find((key) => key.id === id);
    if (found === undefined) throw missing(id, place);
    const from = 2 + id.length;
    const nonce = sealed.subarray(from, from + nonceBytes);
    try {
      const decipher = createDecipheriv(algorithm, found.key, nonce, { authTagLength: tagBytes });
      decipher.setAAD(Buffer.from(place)).setAuthTag(sealed.subarray(-tagBytes));
      const text = sealed.subarray(from + nonceBytes, -tagBytes);
      return Buffer.concat([decipher.update(text), decipher.final()]);
    } catch (cause) {
      throw new PushfleetError(
        'internal',
        `A secret does not open with the key ${quote(id)}: the key is another than the one it was sealed with, or the record was changed by other hands (${quote(place)}).`,
        { cause },
      );
    }
  }
}

// Neither a namespace nor an id holds a "/", so no two places have the same text.
const placeOf = ({ namespace, id }: Subscription, field: string): string => `${namespace}/${id}/${field}`;

function keyIdOf(sealed: Buffer): string {
  return sealed[0] === version ? sealed.subarray(2, 2 + (sealed[1] ?? 0)).toString('latin1') : '';
}

const missing = (id: string, place: string) =>
  new PushfleetError(
    'unavailable',
    `The key ${quote(id)} is missing, and a secret is sealed under it (${quote(place)}). The operator adds it to PUSHFLEET_SECRETS_KEYS again.`,
    { retryAfterMs: 60_000 },
  );
