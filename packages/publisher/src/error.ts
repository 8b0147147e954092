/** The words a fleet answers with; docs/errors.md of the fleet lists them all. A newer fleet may have more. */
type FleetCode =
  | 'topic_invalid'
  | 'id_invalid'
  | 'attribute_invalid'
  | 'request_invalid'
  | 'payload_too_large'
  | 'unauthenticated'
  | 'token_expired'
  | 'token_revoked'
  | 'forbidden'
  | 'rate_limited'
  | 'storage_full'
  | 'quota_publish_rate'
  | 'quota_stored_bytes'
  | 'unavailable'
  | 'timeout'
  | 'draining'
  | 'internal';

/** What the publisher itself adds: its outbox is full, the caller gave up, it was closed. */
type OwnCode = 'outbox_full' | 'aborted' | 'closed';

export type PublishErrorCode = FleetCode | OwnCode | (string & {});

interface PublishErrorOptions {
  readonly retryAfter?: number | undefined;
  readonly mayBeStored?: boolean;
  readonly cause?: unknown;
}

/** Why a publication was not acknowledged. The message says what to do, for people. */
export class PublishError extends Error {
  override readonly name = 'PublishError';
  readonly code: PublishErrorCode;
  /** Seconds to wait before trying again, where the fleet said so. */
  readonly retryAfter: number | undefined;
  /**
   * Whether the log may hold it all the same: an attempt found a connection and its answer never came, or did not say. Publishing it again
   * with the same id within the duplicate window stores it once.
   */
  readonly mayBeStored: boolean;

  constructor(code: PublishErrorCode, message: string, options: PublishErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfter = options.retryAfter;
    this.mayBeStored = options.mayBeStored ?? false;
  }
}

/**
 * What passes by itself: these are sent again. `storage_full` and `quota_stored_bytes` are not among them although
 * they may pass, too: room comes with the age of what is stored or from an operator, in hours and not in seconds, and
 * until then everything behind would wait in the caller's memory.
 */
const passing: ReadonlySet<string> = new Set([
  'unavailable',
  'draining',
  'timeout',
  'rate_limited',
  'quota_publish_rate',
]);

export const isPassing = (error: PublishError): boolean => passing.has(error.code);
