import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError } from '@pushfleet/core';
import type { Credentials } from '@pushfleet/edge';
import type { Grant } from '@pushfleet/runtime';

/** Whom an HTTP request names, as far as it does. */
export interface Identity {
  readonly visitor: Grant | undefined;
  readonly stranger: PushfleetError;
  readonly setCookie?: string | undefined;
}

const nobody = new PushfleetError(
  'unauthenticated',
  'No token came with the handshake. Send "Authorization: Bearer <token>", or ext.pushfleet.token in the message.',
);

/**
 * Never rejects: a handshake may bring a token of its own, and other messages the id of a session, so a request
 * without credentials, or with bad ones, may be a good one.
 */
export async function identify(
  credentials: Pick<Credentials, 'identify'>,
  headers: IncomingHttpHeaders,
  ticket: string | undefined,
): Promise<Identity> {
  const { authorization, cookie } = headers;
  if (authorization === undefined && cookie === undefined && ticket === undefined) {
    return { visitor: undefined, stranger: nobody };
  }
  try {
    const { grant, setCookie } = await credentials.identify(headers, { ticket, returning: false });
    return { visitor: grant, stranger: nobody, setCookie };
  } catch (thrown) {
    return { visitor: undefined, stranger: PushfleetError.from(thrown) };
  }
}
