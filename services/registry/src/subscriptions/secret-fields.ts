import type { Subscription, WebSubTarget } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** What becomes of each secret. `field` names it for good: it stays the same wherever in its list the secret stands. */
export interface SecretMap {
  bytes(value: Buffer, field: string): Buffer;
  text(value: string, field: string): string;
}

/** The record with each of its secrets replaced; the one list of what is a secret. */
export function mapSecrets(record: Subscription, map: SecretMap): Subscription {
  const { target } = record;
  switch (target?.$case) {
    case 'webhook': {
      const secrets = target.webhook.secrets.map((entry) => ({
        ...entry,
        secret: map.bytes(entry.secret, `webhook.secrets/${entry.keyId}`),
      }));
      const headers = target.webhook.headers.map(({ name, value }) => ({
        name,
        value: map.text(value, `webhook.headers/${name.toLowerCase()}`),
      }));
      return { ...record, target: { ...target, webhook: { ...target.webhook, secrets, headers } } };
    }
    case 'websub': {
      return { ...record, target: { ...target, websub: mapWebSub(target.websub, map) } };
    }
    case 'webpush': {
      const endpoint = map.text(target.webpush.endpoint, 'webpush.endpoint');
      const auth = map.bytes(target.webpush.auth, 'webpush.auth');
      return { ...record, target: { ...target, webpush: { ...target.webpush, endpoint, auth } } };
    }
    default:
      return record;
  }
}

function mapWebSub(target: WebSubTarget, map: SecretMap): WebSubTarget {
  const requests = target.requests.map((request) => ({
    ...request,
    secret: map.bytes(request.secret, `websub.requests.secret/${request.id}`),
    verifyToken: map.bytes(request.verifyToken, `websub.requests.verify_token/${request.id}`),
  }));
  return { ...target, secret: map.bytes(target.secret, 'websub.secret'), requests };
}

/** The record without its secrets, as whoever did not ask for them gets it. */
export const withoutSecrets = (record: Subscription): Subscription =>
  mapSecrets(record, { bytes: () => Buffer.alloc(0), text: () => '' });

/** What each secret field holds, empty ones included. */
export function readSecrets(record: Subscription): {
  readonly bytes: ReadonlyMap<string, Buffer>;
  readonly texts: ReadonlyMap<string, string>;
} {
  const bytes = new Map<string, Buffer>();
  const texts = new Map<string, string>();
  mapSecrets(record, {
    bytes(value, field) {
      bytes.set(field, value);
      return value;
    },
    text(value, field) {
      texts.set(field, value);
      return value;
    },
  });
  return { bytes, texts };
}

/**
 * The record with each secret that is empty taken from `held`, so that what was read without secrets can be written
 * back. A WebSub subscriber without a signature method has no secret and keeps none.
 */
export function keepSecrets(record: Subscription, held: Subscription): Subscription {
  const { bytes, texts } = readSecrets(held);
  const unsigned = isUnsigned(record);
  return mapSecrets(record, {
    bytes: (value, field) =>
      value.length > 0 || (unsigned && field === 'websub.secret') ? value : (bytes.get(field) ?? value),
    text: (value, field) => value || (texts.get(field) ?? value),
  });
}

/** The name of a secret that must be there and is empty. */
export function missingSecret(record: Subscription): string | undefined {
  const { bytes, texts } = readSecrets(record);
  const optional = optionalSecrets(record);
  return [...bytes, ...texts].find(([field, value]) => value.length === 0 && !optional.has(field))?.[0];
}

/** Whoever signs nothing has no secret, and a token of 0.3 is the subscriber's to give. */
function optionalSecrets(record: Subscription): ReadonlySet<string> {
  if (record.target?.$case !== 'websub') return new Set();
  const { requests } = record.target.websub;
  const unsigned = requests.filter(({ signatureMethod }) => signatureMethod === '');
  return new Set([
    ...(isUnsigned(record) ? ['websub.secret'] : []),
    ...unsigned.map(({ id }) => `websub.requests.secret/${id}`),
    ...requests.map(({ id }) => `websub.requests.verify_token/${id}`),
  ]);
}

const isUnsigned = ({ target }: Subscription): boolean =>
  target?.$case === 'websub' && target.websub.signatureMethod === '';
