import { PushfleetError, parseTopicFilter } from '@pushfleet/core';
import { bearer, type Grant, type TokenCheck } from '@pushfleet/runtime';
import type { Request } from 'express';

/** A revocation takes every right of a subject away, so it needs the right to all of the namespace. */
export const everything = parseTopicFilter('#');

/** The token of a request, which is in its Authorization header: a page of another origin could send a cookie. */
export function tokenOf(request: Request): string {
  const token = bearer({ authorization: request.headers.authorization });
  if (token !== undefined) return token;
  throw new PushfleetError(
    'unauthenticated',
    'No token came with the request; send "Authorization: Bearer <token>".',
  );
}

/** What the token of a request allows. @throws PushfleetError as `TokenCheck.check` */
export const grantOf = (tokens: TokenCheck, request: Request): Promise<Grant> =>
  tokens.check(tokenOf(request));
