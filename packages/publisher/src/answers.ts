import { type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { PublishResult, Refusal } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { PublishError, type PublishErrorCode } from './error.ts';
import type { Answer } from './lane.ts';

/** What a status means that comes without a word of the fleet's: from a proxy, the gRPC library, a dead connection. */
const codes: Readonly<Partial<Record<status, PublishErrorCode>>> = {
  [status.INVALID_ARGUMENT]: 'request_invalid',
  [status.DEADLINE_EXCEEDED]: 'timeout',
  [status.PERMISSION_DENIED]: 'forbidden',
  [status.UNAUTHENTICATED]: 'unauthenticated',
  [status.RESOURCE_EXHAUSTED]: 'rate_limited',
  // Nobody of the fleet answers under this address.
  [status.UNIMPLEMENTED]: 'request_invalid',
  [status.NOT_FOUND]: 'request_invalid',
};

/** Of these words the fleet does not say whether something was stored. */
const stored = (code: string): boolean => code === 'unavailable' || code === 'timeout';

/**
 * Why a whole call failed.
 *
 * @param left whether a connection had been found for it; otherwise nothing was sent, and nothing can be stored
 */
export function fromStatus(error: ServiceError, left: boolean): PublishError {
  // grpc-js leaves the metadata out of errors that it makes itself.
  const metadata = error.metadata as Metadata | undefined;
  const named = metadata?.get('pushfleet-code')[0]?.toString();
  const retryAfterMs = Number(metadata?.get('pushfleet-retry-after-ms')[0]);
  // grpc-js as a server and as a client says so of a message over its limit; sending it again cannot help.
  const tooLarge = named === undefined && /larger than max/.test(error.details);
  const code = named ?? (tooLarge ? 'payload_too_large' : (codes[error.code] ?? 'unavailable'));
  const message = left
    ? error.details
    : `No connection to the fleet; see that the url has its host and the port of its gRPC API. ${error.details}`;
  return new PublishError(code, message, {
    cause: error,
    retryAfter: retryAfterMs > 0 ? retryAfterMs / 1_000 : undefined,
    mayBeStored: left && stored(code),
  });
}

/** What became of each draft; a fleet that answers fewer than it was asked broke off. */
export function fromResults(
  results: readonly PublishResult[],
  count: number,
): readonly Answer[] | PublishError {
  if (results.length !== count) {
    return new PublishError('unavailable', `${results.length} answers came to ${count} publications.`, {
      mayBeStored: true,
    });
  }
  return results.map(({ outcome }) => {
    if (outcome?.$case === 'receipt') return outcome.receipt;
    return outcome === undefined ? unknown() : fromRefusal(outcome.refusal);
  });
}

function fromRefusal({ code, message, retryAfter }: Refusal): PublishError {
  return new PublishError(code, message, {
    retryAfter: retryAfter && Number(retryAfter.seconds) + retryAfter.nanos / 1e9,
    mayBeStored: stored(code),
  });
}

const unknown = () =>
  new PublishError('unavailable', 'An answer came that this version of the publisher does not know.', {
    mayBeStored: true,
  });
