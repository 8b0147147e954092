import type { IncomingMessage, ServerResponse } from 'node:http';
import { PushfleetError, quote } from '@pushfleet/core';
import { problem, sendProblem } from './problem.ts';

/** Answers one request; what it throws is for the framework's error handler. */
export type Handler<Q extends IncomingMessage, S extends ServerResponse> = (
  request: Q,
  response: S,
) => void | Promise<void>;

/**
 * One resource's handler of handlers by method. GET answers HEAD, too: node:http leaves the body out.
 *
 * @throws PushfleetError `method_not_allowed`, with `Allow` set as RFC 9110 section 15.5.6 requires
 */
export function byMethod<Q extends IncomingMessage, S extends ServerResponse>(
  methods: Readonly<Record<string, Handler<Q, S>>>,
): Handler<Q, S> {
  const allow = Object.keys(methods).flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return (request, response) => {
    const handler = methods[request.method === 'HEAD' ? 'GET' : (request.method ?? '')];
    if (handler !== undefined) return handler(request, response);
    response.setHeader('allow', allow.join(', '));
    throw new PushfleetError(
      'method_not_allowed',
      `${request.method} is not allowed here; use ${allow.join(' or ')}.`,
    );
  };
}

/**
 * @param types what else than `application/json` the body may be announced as
 * @throws PushfleetError `unsupported_media_type` where it is announced as anything but JSON in UTF-8
 */
export function requireJson({ headers }: IncomingMessage, types: readonly string[] = []): void {
  const contentType = headers['content-type'] ?? '';
  const [, type = ''] = /^([^\s;]+)\s*(?:;\s*charset="?utf-8"?\s*)?$/i.exec(contentType) ?? [];
  const accepted = ['application/json', ...types];
  if (accepted.includes(type.toLowerCase())) return;
  throw new PushfleetError(
    'unsupported_media_type',
    `The body comes as "Content-Type: ${accepted.join('" or "')}" in UTF-8, not ${quote(contentType)}.`,
  );
}

/** How long an early refusal waits for the rest of a body, so that no reset overtakes the answer. */
const lingerMs = 2_000;

/**
 * Answers with a problem document, also while the request's body is still on its way: the connection then closes
 * once the body has ended, after 2 s at the latest.
 */
export function refuseRequest(
  request: IncomingMessage,
  response: ServerResponse,
  thrown: unknown,
  instance?: string,
): void {
  if (response.headersSent || !bodyPending(request)) {
    sendProblem(response, thrown, instance);
    return;
  }
  const { status, headers, body } = problem(thrown, instance);
  response.writeHead(status, { ...headers, connection: 'close', 'content-length': Buffer.byteLength(body) });
  response.write(body);
  const end = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, lingerMs);
  request.once('end', end).once('close', end).resume();
}

function bodyPending(request: IncomingMessage): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': chunked } = request.headers;
  return !request.complete && (chunked !== undefined || Number(length) > 0);
}
