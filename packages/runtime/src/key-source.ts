import type { JWK } from 'jose';

/** Where an issuer's keys come from. */
export interface KeySource {
  /** For people: who is asked. */
  readonly host: string;
  /** The keys as they are published now. @throws Error where they cannot be had */
  fetch(): Promise<{ keys: JWK[] }>;
}

const timeoutMs = 5_000;
/** The largest document read: an issuer has a handful of keys. */
const documentBytes = 1_048_576;

/** A key set (RFC 7517) at a fixed address. */
export function keySetAt(url: string, fetchWith: typeof fetch = fetch): KeySource {
  return {
    host: new URL(url).host,
    fetch: async () => (await readDocument(url, fetchWith)) as { keys: JWK[] },
  };
}

/**
 * The key set that the issuer's own configuration names (OpenID Connect Discovery 1.0 section 4). The
 * configuration is read each time, since an issuer may move its keys.
 */
export function keySetOf(issuer: string, fetchWith: typeof fetch = fetch): KeySource {
  const configuration = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  return {
    host: new URL(issuer).host,
    fetch: async () => {
      const document = (await readDocument(configuration, fetchWith)) as Readonly<Record<string, unknown>>;
      return (await readDocument(readKeySetUrl(document, issuer), fetchWith)) as { keys: JWK[] };
    },
  };
}

function readKeySetUrl(document: Readonly<Record<string, unknown>> | null, issuer: string): string {
  // Section 4.3: otherwise one issuer could hand out another's keys, or a proxy in between its own.
  if (document?.issuer !== issuer) throw new Error('its configuration is that of another issuer');
  const url = typeof document.jwks_uri === 'string' ? URL.parse(document.jwks_uri) : null;
  if (url === null || !['https:', new URL(issuer).protocol].includes(url.protocol))
    throw new Error('its configuration names no usable "jwks_uri"');
  return url.href;
}

async function readDocument(url: string, fetchWith: typeof fetch): Promise<unknown> {
  const response = await fetchWith(url, {
    headers: { accept: 'application/jwk-set+json, application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`answered ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > documentBytes) throw new Error(`answered more than ${documentBytes} bytes`);
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString());
}
