import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { type ErrorCode, grpcStatus, meanings, PushfleetError } from '@pushfleet/core';

const codeKey = 'pushfleet-code';
const retryKey = 'pushfleet-retry-after-ms';

/** An error as gRPC carries it: status, message, and trailers `pushfleet-code`, `pushfleet-retry-after-ms`. */
export function toGrpc(thrown: unknown): StatusObject {
  const error = PushfleetError.from(thrown);
  const metadata = new Metadata();
  metadata.set(codeKey, error.code);
  if (error.retryAfterMs !== undefined) metadata.set(retryKey, String(Math.ceil(error.retryAfterMs)));
  return { code: grpcStatus[meanings[error.code].grpc], details: error.message, metadata };
}

/** What another's status means where its trailers do not say: a proxy's answer, a dead connection, a deadline. */
const codes: Readonly<Partial<Record<status, ErrorCode>>> = {
  [status.INVALID_ARGUMENT]: 'request_invalid',
  [status.DEADLINE_EXCEEDED]: 'timeout',
  [status.NOT_FOUND]: 'not_found',
  [status.ALREADY_EXISTS]: 'conflict',
  [status.PERMISSION_DENIED]: 'forbidden',
  [status.RESOURCE_EXHAUSTED]: 'rate_limited',
  [status.UNAVAILABLE]: 'unavailable',
  [status.CANCELLED]: 'unavailable',
  [status.UNAUTHENTICATED]: 'unauthenticated',
};

/** What a call to the fleet failed with, read back from status and trailers; a dead connection is `unavailable`. */
export function fromGrpc(error: ServiceError): PushfleetError {
  // grpc-js leaves the metadata out of errors that it makes itself.
  const metadata = error.metadata as Metadata | undefined;
  const named = metadata?.get(codeKey)[0];
  const code =
    typeof named === 'string' && Object.hasOwn(meanings, named)
      ? (named as ErrorCode)
      : (codes[error.code] ?? 'internal');
  const retryMs = Number(metadata?.get(retryKey)[0]);
  return new PushfleetError(code, error.details, {
    cause: error,
    ...(retryMs > 0 ? { retryAfterMs: retryMs } : {}),
  });
}
