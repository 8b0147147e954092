import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { PushfleetError } from '@pushfleet/core';
import { createLocalJWKSet, errors, type JWK, type JWTVerifyGetKey } from 'jose';
import { publicAlgorithms } from './issuer.ts';
import type { KeySource } from './key-source.ts';

/**
 * The algorithms a public key is used with where nobody says otherwise.
 *
 * @throws Error where the key is of a kind or size that is not accepted
 */
function algorithmsOf(key: KeyObject): readonly string[] {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa') {
    if ((details?.modulusLength ?? 0) < 2_048) throw new Error('is an RSA key of less than 2048 bits');
    return ['RS256'];
  }
  // RFC 9864 gives Ed25519 a name of its own beside the older EdDSA: one algorithm.
  if (key.asymmetricKeyType === 'ed25519') return ['EdDSA', 'Ed25519'];
  const curves: Readonly<Record<string, string>> = {
    prime256v1: 'ES256',
    secp384r1: 'ES384',
    secp521r1: 'ES512',
  };
  const algorithm = curves[details?.namedCurve ?? ''];
  if (algorithm === undefined) throw new Error('is none of RSA, P-256, P-384, P-521 and Ed25519');
  return [algorithm];
}

/** A public key and the algorithms it is good for. */
export interface PinnedKey {
  readonly jwk: JWK;
  readonly algorithms: readonly string[];
}

/** @throws Error saying what is wrong with the PEM, never quoting it */
export function readPem(pem: string): PinnedKey {
  // createPublicKey would quietly derive the public half, and a private key has no business here.
  if (pem.includes('PRIVATE KEY')) throw new Error('is a private key; give the public one');
  const key = publicKey(() => createPublicKey(pem));
  const [jwk, algorithms] = [key.export({ format: 'jwk' }) as JWK, algorithmsOf(key)];
  return { jwk: pin(jwk, algorithms), algorithms };
}

/**
 * @param allowed the algorithms configured for its issuer, if any
 * @throws Error saying what is wrong with the JWK, never quoting it
 */
export function readJwk(jwk: JWK, allowed: readonly string[] | undefined): PinnedKey {
  if (jwk.kty === 'oct') throw new Error('is a secret; put it under "secret"');
  if (jwk.d !== undefined) throw new Error('is a private key; give the public one');
  const implied = algorithmsOf(publicKey(() => createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })));
  const algorithms = jwk.alg === undefined ? (allowed ?? implied) : [jwk.alg];
  const stray = algorithms.find((name) => !(allowed ?? publicAlgorithms).includes(name));
  if (stray !== undefined)
    throw new Error(`is for the algorithm ${JSON.stringify(stray)}, which is not accepted`);
  return { jwk: pin(jwk, algorithms), algorithms };
}

/** jose never uses a JWK that states an algorithm with another. */
function pin(jwk: JWK, algorithms: readonly string[]): JWK {
  return algorithms.length === 1 ? { ...jwk, alg: algorithms[0] as string } : jwk;
}

function publicKey(read: () => KeyObject): KeyObject {
  try {
    return read();
  } catch {
    throw new Error('cannot be read as a public key');
  }
}

/** Keys this old are fetched again. */
const freshMs = 600_000;
/** At most one fetch in this time: tokens with invented key ids must not become requests to the issuer. */
const cooldownMs = 30_000;
/** An issuer that is away is not asked again for this long. */
const retryMs = 2_000;

/**
 * The keys that an issuer publishes, fetched when first needed, when old, and when a token names one that is
 * unknown. While the issuer is away the keys it published last stay in use: whoever cuts the fleet off from it
 * must not log everybody out.
 *
 * @throws PushfleetError `unavailable` where the keys have never been fetched and cannot be now
 */
export function remoteKeys(source: KeySource, now: () => number): JWTVerifyGetKey {
  let keys: JWTVerifyGetKey | undefined;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let failedAt = Number.NEGATIVE_INFINITY;
  let pending: Promise<void> | undefined;

  const load = async (): Promise<void> => {
    try {
      keys = createLocalJWKSet(await source.fetch());
      fetchedAt = now();
    } catch (error) {
      failedAt = now();
      if (keys === undefined) throw away(source, error);
    } finally {
      pending = undefined;
    }
  };
  const refresh = async (): Promise<void> => {
    if (now() - failedAt < retryMs) {
      if (keys === undefined) throw away(source);
      return;
    }
    pending ??= load();
    await pending;
  };

  return async (header, token) => {
    if (now() - fetchedAt >= freshMs) await refresh();
    const current = keys as JWTVerifyGetKey;
    try {
      return await current(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || now() - fetchedAt < cooldownMs) throw error;
      await refresh();
      return await (keys as JWTVerifyGetKey)(header, token);
    }
  };
}

function away({ host }: KeySource, cause?: unknown): PushfleetError {
  return new PushfleetError(
    'unavailable',
    `The keys of the token's issuer cannot be fetched from ${host} at the moment; try again shortly.`,
    { retryAfterMs: retryMs, ...(cause === undefined ? {} : { cause }) },
  );
}
