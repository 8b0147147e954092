import type { ServiceError, StatusObject } from '@grpc/grpc-js';
import type { PushfleetError } from '@pushfleet/core';

/** An error as gRPC carries it: status, message, and trailers `pushfleet-code`, `pushfleet-retry-after-ms`. */
export function toGrpc(_thrown: unknown): Partial<StatusObject> & { code: number; details: string } {
  throw new Error('not yet');
}

/** What a call to the fleet failed with, read back from status and trailers; a dead connection is `unavailable`. */
export function fromGrpc(_error: ServiceError): PushfleetError {
  throw new Error('not yet');
}
