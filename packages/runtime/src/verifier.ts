import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Namespace } from '@pushfleet/core';
import { createLocalJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { ClaimRules } from './claims.ts';
import { type Config, ConfigError } from './config.ts';
import { parseGrants } from './grants.ts';
import { type Issuer, publicAlgorithms } from './issuer.ts';
import { type PinnedKey, readJwk, readPem, remoteKeys } from './key-set.ts';
import { keySetAt, keySetOf } from './key-source.ts';
import { verifyMac } from './mac.ts';
import type { tokenFields } from './shared-fields.ts';
import { livesTooLong, notAsRequired } from './token-error.ts';

/** One issuer with its keys at hand. */
export interface Verifier {
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
  readonly algorithms: readonly string[];
  /** Required header `typ`. */
  readonly tokenType: string | undefined;
  /** Claims that must have these very values. */
  readonly required: readonly (readonly [claim: string, value: string])[];
  readonly rules: ClaimRules;
  readonly keys: JWTVerifyGetKey;
  /** What `keys` are where they are a secret for HS256. */
  readonly secret?: KeyObject;
  /** Longest time from issue to expiry, in milliseconds. */
  readonly lifetimeMs: number;
}

interface Options extends VerifierOptions {
  readonly lifetimeMs: number;
}

export interface VerifierOptions {
  readonly now: () => number;
  readonly fetch?: typeof fetch;
}

/** Seconds by which the clocks of the issuer and of this machine may differ. */
const clockTolerance = 5;

type TokenConfig = Config<typeof tokenFields>;

/** @throws ConfigError where no issuer is configured or one's key cannot be used */
export function createVerifiers(config: TokenConfig, o: VerifierOptions): readonly Verifier[] {
  const options = { ...o, lifetimeMs: config.tokenLifetimeMs };
  const problems: string[] = [];
  const attempt = (name: string, make: () => Verifier): Verifier[] => {
    try {
      return [make()];
    } catch (error) {
      problems.push(`${name} ${(error as Error).message}.`);
      return [];
    }
  };
  const verifiers = [
    ...shortForms(config).flatMap(([name, make]) => attempt(name, () => make(options))),
    ...(config.tokenIssuers ?? []).flatMap((issuer, index) =>
      attempt(`PUSHFLEET_TOKEN_ISSUERS: entry ${index + 1}`, () => createVerifier(issuer, options)),
    ),
  ];
  if (verifiers.length === 0 && problems.length === 0) {
    problems.push(
      'No issuer of tokens is configured, so nobody could connect. Set PUSHFLEET_TOKEN_SECRET, PUSHFLEET_TOKEN_PUBLIC_KEY, PUSHFLEET_TOKEN_JWKS_URL or PUSHFLEET_TOKEN_ISSUERS.',
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return verifiers;
}

type Make = (options: Options) => Verifier;

function shortForms(config: TokenConfig): readonly (readonly [name: string, make: Make])[] {
  const common = {
    ...(config.tokenIssuer === undefined ? {} : { issuer: config.tokenIssuer }),
    ...(config.tokenAudience === undefined ? {} : { audience: config.tokenAudience }),
  };
  const { tokenSecret: secret, tokenPublicKey: pem, tokenJwksUrl: jwksUrl } = config;
  const forms: (readonly [string, Make])[] = [];
  if (secret !== undefined) {
    forms.push(['PUSHFLEET_TOKEN_SECRET', (options) => createVerifier({ ...common, secret }, options)]);
  }
  if (pem !== undefined)
    forms.push(['PUSHFLEET_TOKEN_PUBLIC_KEY', (options) => withKeys(common, [readPem(pem)], options)]);
  if (jwksUrl !== undefined) {
    forms.push(['PUSHFLEET_TOKEN_JWKS_URL', (options) => createVerifier({ ...common, jwksUrl }, options)]);
  }
  return forms;
}

function createVerifier(issuer: Issuer, options: Options): Verifier {
  if (issuer.keys !== undefined) {
    const keys = issuer.keys.map((jwk, index) => {
      try {
        return readJwk(jwk, issuer.algorithms);
      } catch (error) {
        throw new Error(`has a key (number ${index + 1}) that ${(error as Error).message}`);
      }
    });
    return withKeys(issuer, keys, options);
  }
  if (issuer.secret !== undefined) {
    // Bytes would be imported again for every token.
    const secret = createSecretKey(Buffer.from(issuer.secret));
    const algorithms = issuer.algorithms ?? ['HS256'];
    const verifier = verifierOf(issuer, algorithms, async () => secret, options);
    return algorithms.includes('HS256') ? { ...verifier, secret } : verifier;
  }
  const source =
    issuer.jwksUrl === undefined
      ? keySetOf(issuer.issuer as string, options.fetch)
      : keySetAt(issuer.jwksUrl, options.fetch);
  return verifierOf(issuer, issuer.algorithms ?? publicAlgorithms, remoteKeys(source, options.now), options);
}

function withKeys(issuer: Issuer, keys: readonly PinnedKey[], options: Options): Verifier {
  const algorithms = [...new Set(keys.flatMap((key) => key.algorithms))];
  return verifierOf(issuer, algorithms, createLocalJWKSet({ keys: keys.map((key) => key.jwk) }), options);
}

function verifierOf(
  issuer: Issuer,
  algorithms: readonly string[],
  keys: JWTVerifyGetKey,
  { lifetimeMs }: Options,
): Verifier {
  const { audience, tokenType, require = {} } = issuer;
  const required = Object.entries(require);
  return {
    ...{ audience, tokenType, required, algorithms, keys, lifetimeMs },
    issuer: issuer.issuer,
    rules: rulesOf(issuer),
  };
}

function rulesOf({ roles, namespace, namespaceClaim, ...issuer }: Issuer): ClaimRules {
  return {
    claim: issuer.claim ?? 'pushfleet',
    subjectClaim: issuer.subjectClaim ?? 'sub',
    tokenIdClaim: issuer.tokenIdClaim ?? 'jti',
    ...(namespace === undefined ? {} : { namespace: namespace as Namespace }),
    ...(namespaceClaim === undefined ? {} : { namespaceClaim }),
    ...(roles === undefined
      ? {}
      : { roles: new Map(Object.entries(roles).map(([role, granted]) => [role, parseGrants(granted)])) }),
  };
}

/** The token's claims, verified. @throws whatever jose or the keys throw; see `token-error.ts` */
export async function verify(verifier: Verifier, token: string, now: number): Promise<JWTPayload> {
  const payload = await verifySignature(verifier, token, now);
  for (const [claim, value] of verifier.required) {
    if (!Object.hasOwn(payload, claim) || payload[claim] !== value) throw notAsRequired(claim, value);
  }
  requireShortLife(payload, now, verifier.lifetimeMs);
  return payload;
}

/**
 * A revocation ends when every token has expired that was good when it was made. That is only known where a token
 * that lives longer than agreed is good at no time: not by its `iat`, and not by waiting until little is left.
 */
function requireShortLife({ exp = 0, iat }: JWTPayload, now: number, lifetimeMs: number): void {
  const seconds = Math.max(exp - now / 1_000, iat === undefined ? 0 : exp - iat);
  if (seconds * 1_000 > lifetimeMs + clockTolerance * 1_000) throw livesTooLong(seconds, lifetimeMs / 1_000);
}

async function verifySignature(verifier: Verifier, token: string, now: number): Promise<JWTPayload> {
  const options = {
    algorithms: [...verifier.algorithms],
    clockTolerance,
    currentDate: new Date(now),
    requiredClaims: ['exp'],
    ...(verifier.issuer === undefined ? {} : { issuer: verifier.issuer }),
    ...(verifier.audience === undefined ? {} : { audience: verifier.audience }),
    ...(verifier.tokenType === undefined ? {} : { typ: verifier.tokenType }),
  };
  const signed = verifier.secret && verifyMac(verifier.secret, token, options);
  if (signed !== undefined) return signed;
  try {
    return (await jwtVerify(token, verifier.keys, options)).payload;
  } catch (error) {
    // Without a "kid" several keys may fit; the token is good if one of them made it.
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      const payload = await jwtVerify(token, key, options).then(
        (result) => result.payload,
        (failure: unknown) => {
          if (failure instanceof errors.JWSSignatureVerificationFailed) return undefined;
          throw failure;
        },
      );
      if (payload !== undefined) return payload;
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}
