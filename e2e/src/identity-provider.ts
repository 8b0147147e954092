import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import Provider from 'oidc-provider';

export type Claims = Readonly<Record<string, unknown>>;

/** What docs/security.md says of a provider: the issuers to configure, and a token that they accept. */
export interface Recipe {
  readonly issuers: readonly Readonly<Record<string, unknown>>[];
  readonly claims: Claims;
}

/** The JSON of a chapter of docs/security.md, as it stands there. */
export function recipe(heading: string): Recipe {
  const text = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8');
  const chapter = text.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  const blocks = Array.from(chapter.matchAll(/^```json\n(.*?)^```$/gms), ([, json]) =>
    JSON.parse(json as string),
  );
  if (blocks.length !== 2) throw new Error(`"${heading}" has ${blocks.length} blocks of JSON, not two`);
  const [issuers, claims] = blocks as [Recipe['issuers'], Claims];
  return { issuers, claims };
}

/** The same with another host in every URL. */
export const movedTo = <T>(value: T, from: string, to: string): T =>
  JSON.parse(JSON.stringify(value).replaceAll(from, to)) as T;

async function listen(listener: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function stop(server: Server): void {
  server.close();
  server.closeAllConnections();
}

/** A provider's outside: its configuration and keys at the provider's own paths, and tokens by its key. */
export interface FakeProvider {
  readonly url: string;
  sign(claims: Claims, header?: object): Promise<string>;
  /** By a key that it does not publish. */
  forge(claims: Claims): Promise<string>;
  stop(): void;
}

export interface Shape {
  /** The path of the issuer, and that of its keys. */
  readonly issuer: string;
  readonly keys: string;
  /** What the provider publishes for its key, and beside it. */
  readonly keySet: (key: JWK) => readonly JWK[];
}

export async function startFake(shape: Shape): Promise<FakeProvider> {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const stranger = await generateKeyPair('RS256');
  const jwk = await exportJWK(publicKey);
  const { server, url } = await listen((request, response) => {
    const pages: Readonly<Record<string, object>> = {
      [`${shape.issuer}/.well-known/openid-configuration`]: {
        issuer: `${url}${shape.issuer}`,
        jwks_uri: `${url}${shape.keys}`,
      },
      [shape.keys]: { keys: shape.keySet({ ...jwk, kid: 'the-key' }) },
    };
    const page = pages[request.url ?? ''];
    response.writeHead(page === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(page ?? {}));
  });
  const by = (key: CryptoKey, claims: Claims, header: object = {}): Promise<string> =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: 'the-key', ...header })
      .sign(key);
  return {
    url,
    sign: (claims, header) => by(privateKey, claims, header),
    forge: (claims) => by(stranger.privateKey, claims),
    stop: () => stop(server),
  };
}

/** npm's `oidc-provider`, with one client that may ask for the scopes given. */
export interface CertifiedProvider {
  readonly url: string;
  /** A token by client credentials (RFC 6749 section 4.4) for a resource (RFC 8707), as a JWT (RFC 9068). */
  token(scope: string, resource: string): Promise<string>;
  stop(): void;
}

export async function startCertified(scopes: string): Promise<CertifiedProvider> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const { server, url } = await listen((request, response) => listener(request, response));
  const client = { client_id: 'backend', client_secret: 'a secret between the two of them' };
  const provider = new Provider(url, {
    clients: [{ ...client, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
    scopes: scopes.split(' '),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), use: 'sig', alg: 'RS256' }] },
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: scopes, accessTokenFormat: 'jwt' }),
      },
    },
  });
  const listener = provider.callback();
  return {
    url,
    async token(scope, resource) {
      const body = new URLSearchParams({ grant_type: 'client_credentials', scope, resource, ...client });
      const answer = await fetch(`${url}/token`, { method: 'POST', body });
      if (!answer.ok) throw new Error(`the provider answers ${answer.status}: ${await answer.text()}`);
      return ((await answer.json()) as { access_token: string }).access_token;
    },
    stop: () => stop(server),
  };
}
