import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError } from '@pushfleet/core';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { readGrant } from './claims.ts';
import type { Config } from './config.ts';
import { tokenDigest } from './connection.ts';
import type { Grant } from './grant.ts';
import type { RevocationList } from './revocations.ts';
import type { tokenFields } from './shared-fields.ts';
import { foreignIssuer, noToken, notAToken, revoked, tokenError, wrongAlgorithm } from './token-error.ts';
import { createVerifiers, type Verifier, verify } from './verifier.ts';

export interface TokenCheck {
  /**
   * Verifies a token and reads its grants. Cheap for a token seen within the last minute.
   *
   * @throws PushfleetError `unauthenticated`, `token_expired` or `token_revoked`; `forbidden` for an illegal
   *   namespace; `unavailable` when the issuer's keys cannot be fetched: the token may be good
   */
  check(token: string): Promise<Grant>;
}

export interface TokenCheckOptions {
  readonly revocations?: RevocationList;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** What key sets are fetched with. */
  readonly fetch?: typeof fetch;
}

/** Longest token, in characters: what fits a request's headers. */
const tokenLength = 16_384;
/** Grants remembered, about 1 KB each: a reconnecting herd brings the tokens it was cut off with. */
const cacheSize = 10_000;
/** A key that its issuer withdrew lives on this long in the grants remembered. */
const cacheMs = 60_000;

/** @throws ConfigError where no issuer is configured or a key cannot be used */
export function createTokenCheck(
  config: Config<typeof tokenFields>,
  options: TokenCheckOptions = {},
): TokenCheck {
  const now = options.now ?? Date.now;
  const verifiers = createVerifiers(config, {
    now,
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
  });
  const cache = new GrantCache();
  return {
    async check(token) {
      // The digest keeps the tokens themselves out of the heap, and so out of heap snapshots.
      const key = hash('sha256', token, 'base64');
      const known = cache.get(key, now());
      const grant = known ?? (await checkWith(verifiers, token, now()));
      if (options.revocations?.revoked(grant)) throw revoked();
      if (known === undefined) cache.set(key, grant, now());
      return grant;
    },
  };
}

async function checkWith(verifiers: readonly Verifier[], token: string, now: number): Promise<Grant> {
  const failures: PushfleetError[] = [];
  for (const verifier of candidates(verifiers, token)) {
    try {
      return readGrant(await verify(verifier, token, now), verifier.rules, tokenDigest(token));
    } catch (error) {
      failures.push(tokenError(error, now));
    }
  }
  // Several issuers may share a name. An expiry is certain, as the signature was good; keys out of reach leave
  // it open whether the token is good, so the caller must not be told that it is bad.
  const certain = (code: PushfleetError['code']) => failures.find((failure) => failure.code === code);
  throw certain('token_expired') ?? certain('unavailable') ?? failures[0];
}

/** The issuers whose token this may be, by name and algorithm. Nothing that is read here is trusted yet. */
function candidates(verifiers: readonly Verifier[], token: string): readonly Verifier[] {
  if (token === '') throw noToken();
  if (token.length > tokenLength) throw notAToken();
  let algorithm: unknown;
  let issuer: unknown;
  try {
    algorithm = decodeProtectedHeader(token).alg;
    issuer = decodeJwt(token).iss;
  } catch {
    throw notAToken();
  }
  const named = verifiers.filter((verifier) => verifier.issuer === undefined || verifier.issuer === issuer);
  if (named.length === 0) throw foreignIssuer(issuer);
  const able = named.filter((verifier) => verifier.algorithms.includes(algorithm as string));
  if (able.length === 0)
    throw wrongAlgorithm(algorithm, [...new Set(named.flatMap((verifier) => verifier.algorithms))]);
  return able;
}

/** Grants of tokens seen lately, by the token's digest; the one entered longest ago goes first. */
class GrantCache {
  readonly #entries = new Map<string, { readonly grant: Grant; readonly until: number }>();

  get(key: string, now: number): Grant | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || now < entry.until) return entry?.grant;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, grant: Grant, now: number): void {
    this.#entries.set(key, { grant, until: Math.min(grant.expiresAt, now + cacheMs) });
    if (this.#entries.size > cacheSize) this.#entries.delete(this.#entries.keys().next().value as string);
  }
}

/** The name of the cookie that carries a token. */
export const tokenCookie = 'pushfleet';

/**
 * The token of a request: `Authorization: Bearer …` (RFC 6750 section 2.1), else the cookie `pushfleet`.
 *
 * @throws PushfleetError `unauthenticated` where the Authorization header is of another scheme or malformed
 */
export function bearer(headers: IncomingHttpHeaders): string | undefined {
  const { authorization, cookie } = headers;
  if (authorization !== undefined) {
    const token = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(authorization)?.[1];
    if (token !== undefined) return token;
    throw new PushfleetError('unauthenticated', 'The Authorization header must be "Bearer" and a token.');
  }
  for (const pair of cookie?.split(';') ?? []) {
    const at = pair.indexOf('=');
    if (pair.slice(0, at).trim() === tokenCookie) return pair.slice(at + 1).trim() || undefined;
  }
  return undefined;
}
