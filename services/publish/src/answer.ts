import type { IncomingMessage, ServerResponse } from 'node:http';
import { PushfleetError, type Stored } from '@pushfleet/core';
import { problem, sendProblem } from '@pushfleet/runtime';
import { BodyAborted } from './body.ts';
import { parseTarget } from './target.ts';

/** How long an early refusal waits for the rest of a body, so that no reset overtakes the answer. */
const lingerMs = 2_000;

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

/** What became of one draft of a batch: the status and body that a request of its own would have got. */
export function resultOf(answer: Stored | PushfleetError): object {
  if (!(answer instanceof PushfleetError)) return { status: 201, ...answer };
  const { headers, body } = problem(answer);
  const retryAfter = headers['retry-after'];
  return { ...JSON.parse(body), ...(retryAfter === undefined ? {} : { retryAfter: Number(retryAfter) }) };
}

/** Answers with a problem document, also while the request's body is still on its way. */
export function refuse(request: IncomingMessage, response: ServerResponse, thrown: unknown): void {
  if (thrown instanceof BodyAborted) {
    response.destroy();
    return;
  }
  const instance = parseTarget(request.url ?? '/').path;
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
