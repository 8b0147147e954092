import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { PushfleetError } from '@pushfleet/core';
import { SigningScheme, SigningSecret } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { schemes } from './names.ts';

export type Signing = keyof typeof schemes;

const hmacBytes = 32;

/** What verifies deliveries, as its owner is shown it once. */
export interface ShownKey {
  readonly secret?: string;
  readonly publicKey?: string;
}

/**
 * A new signing secret, in the notation of Standard Webhooks.
 *
 * @param given `whsec_…` of the caller's own; absent: one is made
 * @throws PushfleetError `request_invalid`
 */
export function newKey(signing: Signing, given: string | undefined, now: number): SigningSecret {
  const keyId = `key_${randomBytes(9).toString('base64url')}`;
  const made = { keyId, scheme: schemes[signing], createdAt: new Date(now) };
  if (signing === 'ed25519') {
    if (given !== undefined)
      throw invalid('A "secret" is for "signing": "hmac"; an Ed25519 key is made here.');
    return SigningSecret.fromPartial({ ...made, ...ed25519() });
  }
  return SigningSecret.fromPartial({
    ...made,
    secret: given === undefined ? randomBytes(hmacBytes) : parse(given),
  });
}

/** What its owner is shown of a key when it is new. */
export function showKey({ scheme, secret, publicKey }: SigningSecret): ShownKey {
  if (scheme === SigningScheme.SIGNING_SCHEME_ED25519) return { publicKey: showPublicKey(publicKey) };
  return { secret: `whsec_${Buffer.from(secret).toString('base64')}` };
}

export const showPublicKey = (key: Uint8Array): string => `whpk_${Buffer.from(key).toString('base64')}`;

function ed25519(): { readonly secret: Buffer; readonly publicKey: Buffer } {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' });
  return { secret: Buffer.from(d, 'base64url'), publicKey: Buffer.from(x, 'base64url') };
}

function parse(given: string): Buffer {
  const text = given.replace(/^whsec_/, '');
  const bytes = Buffer.from(text, 'base64');
  const plain = (base64: string): string => base64.replace(/=+$/, '');
  if (bytes.length >= 24 && bytes.length <= 64 && plain(bytes.toString('base64')) === plain(text))
    return bytes;
  throw invalid('"secret" is "whsec_" and 24 to 64 bytes in base64.');
}

const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
