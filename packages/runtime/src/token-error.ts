import { PushfleetError, quote } from '@pushfleet/core';
import { errors, type JWTPayload } from 'jose';

const refuse = (message: string, cause?: unknown): PushfleetError =>
  new PushfleetError('unauthenticated', message, cause === undefined ? {} : { cause });

/** Nothing was presented. */
export const noToken = (): PushfleetError =>
  refuse('No token was presented. Send "Authorization: Bearer <token>", the cookie "pushfleet" or a ticket.');

/** What was presented is too long or does not parse. */
export const notAToken = (): PushfleetError =>
  refuse('What was presented is no JSON Web Token: three base64url parts with dots between them.');

/** No configured issuer has this name. */
export const foreignIssuer = (issuer: unknown): PushfleetError =>
  refuse(
    typeof issuer === 'string'
      ? `The token's issuer ${quote(issuer)} is not one that this fleet trusts; get a token from one that is.`
      : 'The token does not say who issued it (claim "iss"), and this fleet wants to know.',
  );

/** The issuer is known, and signs otherwise. Covers `alg: none` and a public key used as a secret. */
export const wrongAlgorithm = (algorithm: unknown, accepted: readonly string[]): PushfleetError =>
  refuse(
    `The token is signed with ${quote(String(algorithm))}; its issuer's tokens are accepted with ${accepted.join(', ')} alone.`,
  );

/** The token is good for longer than the fleet accepts; both in seconds. */
export const livesTooLong = (seconds: number, most: number): PushfleetError =>
  refuse(
    `The token is good for ${span(seconds)}, and this fleet accepts ${span(most)} at most (PUSHFLEET_TOKEN_MAX_LIFETIME); get one that expires sooner.`,
  );

/** The token lacks what its issuer's tokens of the right kind have. */
export const notAsRequired = (claim: string, value: string): PushfleetError =>
  refuse(
    `The token's claim ${quote(claim)} is not ${quote(value)}, which this fleet requires of its issuer's tokens; send an access token, not an ID token.`,
  );

/** The token was good and its owner or a manager ended it. */
export const revoked = (): PushfleetError =>
  new PushfleetError('token_revoked', 'The token was revoked; get a new one.');

/** What a failed verification means to the token's owner. Never holds any part of the token but its claims. */
export function tokenError(error: unknown, now: number): PushfleetError {
  if (error instanceof PushfleetError) return error;
  if (error instanceof errors.JWTExpired) return expired(error.payload, now);
  if (error instanceof errors.JWTClaimValidationFailed) return claimError(error);
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refuse(
      "The token's signature is not by any key that this fleet trusts; get a token from its issuer.",
    );
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return refuse(
      'The token names a key (header "kid" and "alg") that its issuer does not publish; get a new token.',
    );
  }
  // The rest of jose's errors are about the token's form; a fault of ours must not look like the caller's.
  return error instanceof errors.JOSEError
    ? refuse(`The token cannot be read: ${error.code}.`)
    : PushfleetError.from(error);
}

function expired(payload: JWTPayload, now: number): PushfleetError {
  const seconds = Math.max(0, Math.round(now / 1_000 - (payload.exp ?? 0)));
  return new PushfleetError('token_expired', `The token expired ${span(seconds)} ago; get a new one.`);
}

function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}

function claimError(error: errors.JWTClaimValidationFailed): PushfleetError {
  const { claim, reason, payload } = error;
  if (claim === 'exp' && reason === 'missing') {
    return refuse('The token does not expire (claim "exp"); only tokens that do are accepted.');
  }
  if (claim === 'nbf' && reason === 'check_failed') {
    const from = new Date((payload.nbf ?? 0) * 1_000);
    const text = Number.isNaN(from.getTime()) ? 'much later' : from.toISOString();
    return refuse(`The token is valid from ${text} on, which is still to come; check the issuer's clock.`);
  }
  if (claim === 'typ') {
    return refuse(
      'The token is of another type (header "typ") than this fleet accepts of its issuer; send an access token, not an ID token.',
    );
  }
  if (claim === 'aud')
    return refuse(
      'The token is meant for another audience (claim "aud"); ask its issuer for one meant for this fleet.',
    );
  return refuse(
    `The token's claim "${claim}" is ${reason === 'missing' ? 'missing' : 'not acceptable'}; ask its issuer for another.`,
  );
}
