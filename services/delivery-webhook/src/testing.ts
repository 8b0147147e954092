// What the tests of this service share.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type Cursor, formatCursor, type Namespace, type Publication, parseTopic } from '@pushfleet/core';
import type { Errand } from '@pushfleet/delivery';
import {
  SigningScheme,
  type SigningSecret,
  Subscription,
  WebhookFormat,
  WebhookHandshake,
  WebhookTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

export const cursor: Cursor = formatCursor({ generation: 'g', time: 36, positions: [71] });

/** An order of one coffee, in JSON. */
export const publication = (o: Partial<Publication> = {}): Publication => ({
  id: 'o-1',
  source: 'shop',
  topic: parseTopic('orders/1'),
  contentType: 'application/json',
  payload: Buffer.from('{"coffee":1}'),
  time: Date.UTC(2025, 0, 2, 3, 4, 5, 6),
  shard: 0,
  sequence: 71,
  ...o,
});

export const hmacSecret = (o: Partial<SigningSecret> = {}): SigningSecret => ({
  keyId: 'k1',
  scheme: SigningScheme.SIGNING_SCHEME_HMAC_SHA256,
  secret: randomBytes(32),
  publicKey: Buffer.alloc(0),
  createdAt: undefined,
  expiresAt: undefined,
  ...o,
});

export function ed25519Secret(o: Partial<SigningSecret> = {}): SigningSecret {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const bytes = (jwk: { readonly d?: string; readonly x?: string }, part: 'd' | 'x'): Buffer =>
    Buffer.from(jwk[part] as string, 'base64url');
  return {
    ...hmacSecret(),
    scheme: SigningScheme.SIGNING_SCHEME_ED25519,
    secret: bytes(privateKey.export({ format: 'jwk' }), 'd'),
    publicKey: bytes(publicKey.export({ format: 'jwk' }), 'x'),
    ...o,
  };
}

/** As the owner of a subscription is given it. */
export const secretText = ({ secret }: SigningSecret): string => `whsec_${secret.toString('base64')}`;

export const webhook = (o: Partial<WebhookTarget> = {}): WebhookTarget =>
  WebhookTarget.fromPartial({
    url: 'http://127.0.0.1:9/hook',
    format: WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_STRUCTURED,
    handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_NONE,
    secrets: [hmacSecret()],
    ...o,
  });

export const errand = (target: WebhookTarget, o: Partial<Errand> = {}): Errand => ({
  why: 'publication',
  namespace: 'default' as Namespace,
  subscription: Subscription.fromPartial({
    namespace: 'default',
    id: 'sub-1',
    filter: 'orders/#',
    target: { $case: 'webhook', webhook: target },
  }),
  publication: publication(),
  cursor,
  id: 'msg_AbCdEfGhIjKlMnOpQrStUv',
  attempt: 1,
  ...o,
});

/** As the registry hands a handshake over: without a publication. */
export const handshake = (target: WebhookTarget): Errand =>
  errand(target, { why: 'handshake', publication: undefined, cursor: undefined });
