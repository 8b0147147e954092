import type { IncomingMessage, ServerResponse } from 'node:http';
import { PushfleetError, type Stored } from '@pushfleet/core';
import { parseTarget, problem, refuseRequest } from '@pushfleet/runtime';
import { BodyAborted } from './body.ts';

/** Answers with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  value: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = JSON.stringify(value);
  response
    .writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...headers,
    })
    .end(body);
}

/** Answers OPTIONS with the methods there are (RFC 9110 section 9.3.7), GET standing for HEAD, too. */
export function sendOptions(response: ServerResponse, methods: readonly string[], acceptPost?: string): void {
  const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
  response.writeHead(204, { allow, ...(acceptPost !== undefined && { 'accept-post': acceptPost }) }).end();
}

/** What became of one draft of a batch: the status and body that a request of its own would have got. */
export function resultOf(answer: Stored | PushfleetError): object {
  if (!(answer instanceof PushfleetError)) return { status: 201, ...answer };
  const { headers, body } = problem(answer);
  const retryAfter = headers['retry-after'];
  return { ...JSON.parse(body), ...(retryAfter === undefined ? {} : { retryAfter: Number(retryAfter) }) };
}

/** Answers with a problem document, also while the request's body is still on its way. */
export function refuse(request: IncomingMessage, response: ServerResponse, thrown: unknown): void {
  if (thrown instanceof BodyAborted) response.destroy();
  else refuseRequest(request, response, thrown, parseTarget(request.url ?? '/').path);
}

/** Aborted when the response closes: nobody waits for it any more. */
export function leftOf(response: ServerResponse): AbortSignal {
  const left = new AbortController();
  const leave = () => left.abort(new BodyAborted());
  if (response.destroyed) leave();
  else response.once('close', leave);
  return left.signal;
}
