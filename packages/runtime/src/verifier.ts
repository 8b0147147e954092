import { createLocalJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { type Config, ConfigError } from './config.ts';
import { type Issuer, publicAlgorithms } from './issuer.ts';
import { type PinnedKey, readJwk, readPem, remoteKeys } from './key-set.ts';
import type { tokenFields } from './shared-fields.ts';

/** One issuer with its keys at hand. */
export interface Verifier {
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
  readonly algorithms: readonly string[];
  readonly claim: string | readonly string[];
  readonly keys: JWTVerifyGetKey;
}

export interface VerifierOptions {
  readonly now: () => number;
  readonly fetch?: typeof fetch;
}

/** Seconds by which the clocks of the issuer and of this machine may differ. */
const clockTolerance = 5;

type TokenConfig = Config<typeof tokenFields>;

/** @throws ConfigError where no issuer is configured or one's key cannot be used */
export function createVerifiers(config: TokenConfig, options: VerifierOptions): readonly Verifier[] {
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

type Make = (options: VerifierOptions) => Verifier;

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
  if (pem !== undefined) forms.push(['PUSHFLEET_TOKEN_PUBLIC_KEY', () => withKeys(common, [readPem(pem)])]);
  if (jwksUrl !== undefined) {
    forms.push(['PUSHFLEET_TOKEN_JWKS_URL', (options) => createVerifier({ ...common, jwksUrl }, options)]);
  }
  return forms;
}

function createVerifier(issuer: Issuer, options: VerifierOptions): Verifier {
  if (issuer.keys !== undefined) {
    const keys = issuer.keys.map((jwk, index) => {
      try {
        return readJwk(jwk, issuer.algorithms);
      } catch (error) {
        throw new Error(`has a key (number ${index + 1}) that ${(error as Error).message}`);
      }
    });
    return withKeys(issuer, keys);
  }
  if (issuer.jwksUrl !== undefined) {
    return verifierOf(
      issuer,
      issuer.algorithms ?? publicAlgorithms,
      remoteKeys({ ...options, url: issuer.jwksUrl }),
    );
  }
  const secret = Buffer.from(issuer.secret ?? '');
  return verifierOf(issuer, issuer.algorithms ?? ['HS256'], async () => secret);
}

function withKeys(issuer: Issuer, keys: readonly PinnedKey[]): Verifier {
  const algorithms = [...new Set(keys.flatMap((key) => key.algorithms))];
  return verifierOf(issuer, algorithms, createLocalJWKSet({ keys: keys.map((key) => key.jwk) }));
}

function verifierOf(issuer: Issuer, algorithms: readonly string[], keys: JWTVerifyGetKey): Verifier {
  const { audience, claim = 'pushfleet' } = issuer;
  return { issuer: issuer.issuer, audience, algorithms, claim, keys };
}

/** The token's claims, verified. @throws whatever jose or the keys throw; see `token-error.ts` */
export async function verify(verifier: Verifier, token: string, now: number): Promise<JWTPayload> {
  const options = {
    algorithms: [...verifier.algorithms],
    clockTolerance,
    currentDate: new Date(now),
    requiredClaims: ['exp'],
    ...(verifier.issuer === undefined ? {} : { issuer: verifier.issuer }),
    ...(verifier.audience === undefined ? {} : { audience: verifier.audience }),
  };
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
