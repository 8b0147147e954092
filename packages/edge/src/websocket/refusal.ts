import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { PushfleetError, quote } from '@pushfleet/core';
import { problem, sendProblem } from '@pushfleet/runtime';
import { splitTarget } from '../request.ts';
import { head, type Visit } from '../visit.ts';
import type { Refusal } from './handshake.ts';

/**
 * Whether the request comes from the WebSocket of a page, or of a runtime that behaves as one: it tells nothing of a
 * handshake that was refused, so the page could not tell "come back" from "never".
 */
export const isPage = ({ origin, 'sec-fetch-mode': mode }: IncomingHttpHeaders): boolean =>
  origin !== undefined || mode === 'websocket';

/** A request that is no handshake. */
export interface Misdirected {
  readonly error: PushfleetError;
  /** Where it is not the code's own. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export const notUpgraded: Misdirected = {
  error: new PushfleetError('request_invalid', 'This is a WebSocket endpoint; send "Upgrade: websocket".'),
  // RFC 9110 section 15.5.22.
  status: 426,
  headers: { upgrade: 'websocket', connection: 'Upgrade' },
};

/** Why a request cannot be a handshake at this path, whatever its headers say of it. */
export function misdirected(
  { url = '', method = '', headers }: IncomingMessage,
  path: string,
): Misdirected | undefined {
  if (splitTarget(url).path !== path) {
    return { error: new PushfleetError('not_found', `WebSocket connections are at ${path}.`) };
  }
  if (method !== 'GET') {
    const error = new PushfleetError(
      'method_not_allowed',
      `${quote(method)} is not a method of ${path}; use GET.`,
    );
    return { error, headers: { allow: 'GET' } };
  }
  return headers.upgrade?.toLowerCase() === 'websocket' ? undefined : notUpgraded;
}

// A client that neither reads nor closes is cut after this time.
const lingerMs = 5_000;

/** Answers a request that is no handshake. */
export function decline(
  response: ServerResponse,
  { error, status, headers }: Misdirected,
  {
    path,
    answerHeaders,
  }: { readonly path: string; readonly answerHeaders: Readonly<Record<string, string>> },
): void {
  response.setHeaders(new Map(Object.entries({ ...answerHeaders, ...headers })));
  if (status === undefined) {
    sendProblem(response, error);
    return;
  }
  const { headers: all, body } = problemOf(error, status, path);
  response.writeHead(status, all).end(body);
}

/** Answers a handshake at this path by hand with a problem document, and ends. */
export function refuse(visit: Visit, error: PushfleetError, path: string, as?: Refusal): void {
  if (as === undefined) {
    visit.refuse(error, path);
    return;
  }
  const { headers, body } = problemOf(error, as.status, path);
  const all = { ...headers, ...visit.answerHeaders, ...as.headers, connection: 'close' };
  visit.socket.end(head(as.status, all) + body);
  visit.socket.setTimeout(lingerMs, () => visit.socket.destroy());
}

/** The problem under a status that is not its code's own. */
function problemOf(
  error: PushfleetError,
  status: number,
  path: string,
): { readonly headers: Record<string, string>; readonly body: string } {
  const { headers, body } = problem(error, path);
  const restated = JSON.stringify({ ...(JSON.parse(body) as object), status });
  return { headers: { ...headers, 'content-length': String(Buffer.byteLength(restated)) }, body: restated };
}
