// Helpers of the tests of this package.
import { randomBytes } from 'node:crypto';
import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  SignJWT,
} from 'jose';
import { type ClaimPath, readGrant } from './claims.ts';
import type { Config } from './config.ts';
import { readConfig } from './config.ts';
import type { Grant } from './grant.ts';
import { tokenFields } from './shared-fields.ts';

/** The grant of claims that some issuer signed, read by the rules in force where nothing is configured. */
export const grantOfClaims = (payload: Record<string, unknown>, claim: ClaimPath = 'pushfleet'): Grant =>
  readGrant(payload, { claim, subjectClaim: 'sub', tokenIdClaim: 'jti' }, 'a-token-s-digest');

export const secret = randomBytes(32).toString('hex');

export const tokenConfig = (env: NodeJS.ProcessEnv): Config<typeof tokenFields> =>
  readConfig(tokenFields, env);

export interface Pair {
  readonly privateKey: CryptoKey;
  readonly pem: string;
  readonly jwk: JWK;
}

export async function pair(algorithm: string, kid?: string): Promise<Pair> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { privateKey, pem: await exportSPKI(publicKey), jwk: kid === undefined ? jwk : { ...jwk, kid } };
}

export const seconds = (offset: number): number => Math.floor(Date.now() / 1_000) + offset;

export function sign(
  claims: Record<string, unknown>,
  key: CryptoKey | string,
  header: JWTHeaderParameters = { alg: 'HS256' },
): Promise<string> {
  const filled = { sub: 'alice', exp: seconds(60), ...claims };
  return new SignJWT(filled)
    .setProtectedHeader(header)
    .sign(typeof key === 'string' ? Buffer.from(key) : key);
}

/** A token put together by hand, for what no library would sign. */
export function forge(header: object, claims: object, signature = ''): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(claims)}.${signature}`;
}
