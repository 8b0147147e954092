import type { handleUnaryCall } from '@grpc/grpc-js';
import { PushfleetError } from '@pushfleet/core';
import { type Log, toGrpc } from '@pushfleet/runtime';

/** A method with one answer; what it rejects with becomes its status. */
export function unary<Request, Response>(
  log: Log,
  answer: (request: Request) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answer(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => callback(statusOf(error, log)),
    );
  };
}

/** The status of a failure; what nobody foresaw is in the log as well. */
export function statusOf(error: unknown, log: Log): ReturnType<typeof toGrpc> {
  const known = PushfleetError.from(error);
  if (known.code === 'internal') log.error({ err: known.cause ?? known }, 'a call failed');
  return toGrpc(known);
}
