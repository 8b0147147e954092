import { existsSync, readFileSync } from 'node:fs';
import { PushfleetError, quote } from '@pushfleet/core';
import { SignJWT } from 'jose';
import { secretFile } from './local/state.ts';

/** What a token may be good for; each list holds topic filters. */
export interface Claims {
  readonly sub: string;
  readonly ns?: string | undefined;
  readonly publish?: readonly string[] | undefined;
  readonly subscribe?: readonly string[] | undefined;
  readonly manage?: readonly string[] | undefined;
  readonly presence?: readonly string[] | undefined;
}

export interface Minted {
  readonly token: string;
  /** The claim `jti`, by which it can be revoked. */
  readonly id: string;
  /** Unix time in seconds. */
  readonly expiresAt: number;
}

/** A token of the local fleet's own issuer: HS256 with the shared secret. */
export async function mint(
  state: string,
  claims: Claims,
  ttlSeconds: number,
  id: string = crypto.randomUUID(),
): Promise<Minted> {
  const { sub, ns, ...grants } = claims;
  const { PUSHFLEET_TOKEN_ISSUER: iss, PUSHFLEET_TOKEN_AUDIENCE: aud } = process.env;
  const now = Math.floor(Date.now() / 1000);
  const expiresAt = now + ttlSeconds;
  const token = await new SignJWT({
    pushfleet: grants,
    ...(ns && { ns }),
    ...(iss && { iss }),
    ...(aud && { aud }),
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(sub)
    .setIssuedAt(now)
    .setExpirationTime(expiresAt)
    .setJti(id)
    .sign(new TextEncoder().encode(readSecret(state)));
  return { token, id, expiresAt };
}

function readSecret(state: string): string {
  const { PUSHFLEET_TOKEN_SECRET: secret, PUSHFLEET_TOKEN_SECRET_FILE: file } = process.env;
  if (secret) return secret;
  const path = file || secretFile(state);
  if (existsSync(path)) return readFileSync(path, 'utf8').trim();
  throw new PushfleetError(
    'unauthenticated',
    `There is no secret to make a token with in ${quote(path)}. Start the local fleet with "npm start", name its folder by --state, or set PUSHFLEET_TOKEN_SECRET, or PUSHFLEET_TOKEN to a token.`,
  );
}
