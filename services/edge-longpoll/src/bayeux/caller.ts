import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError } from '@pushfleet/core';
import { type Credentials, closeDetail } from '@pushfleet/edge';
import type { Grant, RevocationList, TraceHeaders } from '@pushfleet/runtime';
import type { Receipt, Way } from './poll.ts';
import type { Session } from './session.ts';

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

/** Whom a request names that stays open: nobody any more once its token has expired or was revoked. */
export function lasting(
  { visitor, stranger }: Identity,
  o: { readonly now: () => number; readonly revocations: Pick<RevocationList, 'revoked'> },
): Pick<Identity, 'visitor' | 'stranger'> {
  if (visitor === undefined) return { visitor, stranger };
  const over = (): 'token_expired' | 'token_revoked' | undefined => {
    if (o.now() >= visitor.expiresAt) return 'token_expired';
    return o.revocations.revoked(visitor) ? 'token_revoked' : undefined;
  };
  return {
    get visitor() {
      return over() === undefined ? visitor : undefined;
    },
    get stranger() {
      const code = over();
      return code === undefined ? stranger : new PushfleetError(code, closeDetail(code));
    },
  };
}

/** Who sent some messages, and how connects among them are answered. */
export interface Caller {
  /** Whom the HTTP request named, by header, cookie or ticket. */
  readonly visitor: Grant | undefined;
  /** Why it could not be told who that is. */
  readonly stranger: PushfleetError;
  /** The trace of the HTTP request; that of a handshake is none of the messages on its WebSocket. */
  readonly trace: TraceHeaders;
  readonly way: Way;
  readonly receipt: Receipt;
  /** The answer to a connect goes out by itself; else all answers go out together, and nobody waits for events. */
  readonly separate: boolean;
  /** Whether the client has left. */
  readonly gone: boolean;
  /** A session was made for this caller, or sends what it has to this way from now on. */
  onSession(session: Session): void;
}

/** @throws PushfleetError `forbidden` where a request is another subject's than its session */
export function requireSame(own: Grant, visitor: Grant): void {
  if (own.subject === visitor.subject && own.namespace === visitor.namespace) return;
  throw new PushfleetError('forbidden', 'The session belongs to another subject than the request.');
}
