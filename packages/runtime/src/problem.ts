import type { ServerResponse } from 'node:http';
import { meanings, PushfleetError } from '@pushfleet/core';

/** An HTTP answer that says what went wrong: RFC 9457 problem details. */
export interface Problem {
  readonly status: number;
  /** Content-Type, and Retry-After or WWW-Authenticate where they apply. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON: type, title, status, detail, code, instance and the error's detail fields. */
  readonly body: string;
}

/**
 * Whatever was thrown as a problem; what is no PushfleetError becomes `internal` and says nothing of itself.
 *
 * `type` is `/problems/<code>`: RFC 9457 section 3.1.1 wants a relative reference to hold the full path, and
 * the fleet has no address of its own that an absolute one could name.
 *
 * @param instance a URI reference of this very occurrence, free of secrets: usually a request's path
 */
export function problem(thrown: unknown, instance?: string): Problem {
  const error = PushfleetError.from(thrown);
  const { http, title } = meanings[error.code];
  const members = {
    // The standard members come last, so that no detail field can stand in for one.
    ...error.detail,
    type: `/problems/${error.code}`,
    title,
    status: http,
    detail: error.message,
    code: error.code,
    ...(instance === undefined ? {} : { instance }),
  };
  return { status: http, headers: headersOf(error, http), body: JSON.stringify(members) };
}

function headersOf(error: PushfleetError, status: number): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
  };
  const retryMs = error.retryAfterMs ?? (meanings[error.code].retry ? 1_000 : undefined);
  if (retryMs !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(retryMs / 1_000)));
  // RFC 9110 section 15.5.2 requires a challenge; RFC 6750 section 3.1 leaves the error out where no token came.
  if (status === 401) {
    headers['www-authenticate'] =
      error.code === 'unauthenticated'
        ? 'Bearer realm="pushfleet"'
        : 'Bearer realm="pushfleet", error="invalid_token"';
  }
  return headers;
}

/** Answers with the problem, or cuts the connection where the answer's head has gone already. */
export function sendProblem(response: ServerResponse, thrown: unknown, instance?: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, headers, body } = problem(thrown, instance);
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
}
