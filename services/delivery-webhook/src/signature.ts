import { createHmac, createPrivateKey, createSecretKey, type KeyObject, sign } from 'node:crypto';
import { SigningScheme, type SigningSecret } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** What is signed: Standard Webhooks 1.0, "Signature scheme". */
export interface Signed {
  /** `webhook-id` */
  readonly id: string;
  /** `webhook-timestamp`: Unix time of the attempt in seconds. */
  readonly timestamp: number;
  readonly body: Uint8Array;
}

/**
 * The value of `webhook-signature`: one signature for each secret that is in force, newest secret first, with spaces
 * between them; empty where none is in force.
 */
export function signatures(secrets: readonly SigningSecret[], signed: Signed): string {
  const prefix = `${signed.id}.${signed.timestamp}.`;
  let value = '';
  for (const secret of secrets) {
    if (secret.expiresAt !== undefined && secret.expiresAt.getTime() <= signed.timestamp * 1_000) continue;
    const signature = signatureOf(secret, prefix, signed.body);
    if (signature !== undefined) value += value === '' ? signature : ` ${signature}`;
  }
  return value;
}

function signatureOf(secret: SigningSecret, prefix: string, body: Uint8Array): string | undefined {
  switch (secret.scheme) {
    case SigningScheme.SIGNING_SCHEME_HMAC_SHA256:
      return `v1,${createHmac('sha256', keyOf(secret)).update(prefix).update(body).digest('base64')}`;
    case SigningScheme.SIGNING_SCHEME_ED25519:
      return `v1a,${sign(null, Buffer.concat([Buffer.from(prefix), body]), keyOf(secret)).toString('base64')}`;
    default:
      return undefined;
  }
}

// Making a key costs more than signing with it. A key lives as long as the record it was read from: what the machinery
// holds of records is the limit, and nothing keeps a secret beyond it.
const keys = new WeakMap<SigningSecret, KeyObject>();

function keyOf(secret: SigningSecret): KeyObject {
  let key = keys.get(secret);
  if (key === undefined) {
    const ed25519 = secret.scheme === SigningScheme.SIGNING_SCHEME_ED25519;
    key = ed25519 ? privateKey(secret.secret) : createSecretKey(secret.secret);
    keys.set(secret, key);
  }
  return key;
}

// RFC 8410 section 7: what stands before the 32 bytes of the seed in PKCS #8.
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');

const privateKey = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
