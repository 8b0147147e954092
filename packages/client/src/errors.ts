/** The words a fleet answers with; docs/errors.md of the fleet lists them with what to do. A newer fleet may have more. */
type FleetCode =
  | 'topic_invalid'
  | 'filter_invalid'
  | 'id_invalid'
  | 'attribute_invalid'
  | 'cursor_invalid'
  | 'request_invalid'
  | 'payload_too_large'
  | 'too_many_filters'
  | 'unauthenticated'
  | 'token_expired'
  | 'token_revoked'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'unsupported_media_type'
  | 'conflict'
  | 'rate_limited'
  | 'too_many_connections'
  | 'storage_full'
  | 'quota_connections'
  | 'quota_subscriptions'
  | 'quota_publish_rate'
  | 'quota_stored_bytes'
  | 'history_off'
  | 'unavailable'
  | 'timeout'
  | 'draining'
  | 'internal'
  | 'slow_consumer'
  | 'connection_age';

/** What the client itself adds: it was closed, its queue of publications is full, no word came from the fleet. */
type OwnCode = 'closed' | 'queue_full' | 'unreachable';

export type PushfleetCode = FleetCode | OwnCode | (string & {});

interface PushfleetErrorOptions {
  readonly retryable?: boolean | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly limit?: number | undefined;
  readonly cause?: unknown;
}

/** Why something failed. The code is for programs; the message says what to do, for people. */
export class PushfleetError extends Error {
  override readonly name = 'PushfleetError';
  readonly code: PushfleetCode;
  /** Whether the same can succeed later without a change. The client tries such things again by itself. */
  readonly retryable: boolean;
  /** How long to wait first, in milliseconds, where the fleet named a time. */
  readonly retryAfterMs: number | undefined;
  /** The limit that was passed, where the fleet named one. */
  readonly limit: number | undefined;

  constructor(code: PushfleetCode, message: string, options: PushfleetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? passing.has(code);
    this.retryAfterMs = options.retryAfterMs;
    this.limit = options.limit;
  }
}

/** The codes after which a client comes back by itself: docs/errors.md, "How a stream ends". */
const passing: ReadonlySet<string> = new Set([
  'rate_limited',
  'too_many_connections',
  'quota_connections',
  'quota_subscriptions',
  'quota_publish_rate',
  'unavailable',
  'timeout',
  'draining',
  'internal',
  'slow_consumer',
  'connection_age',
  'unreachable',
]);

/** Whether the token is what is wrong. */
export const isToken = ({ code }: PushfleetError): boolean => /^(unauthenticated|token_)/.test(code);

/** An error in the words of the fleet: a problem (RFC 9457), or an `error` or `closing` of pushfleet.v1. */
export function errorOf(said: Readonly<Record<string, unknown>>): PushfleetError {
  const { code, detail, title, retryAfterMs, retryMs, reconnect, limit } = said;
  const wait = retryAfterMs ?? retryMs;
  return new PushfleetError(String(code), String(detail ?? title ?? code), {
    ...(typeof reconnect === 'boolean' && { retryable: reconnect }),
    ...(typeof wait === 'number' && { retryAfterMs: wait }),
    ...(typeof limit === 'number' && { limit }),
  });
}

/** No word came from the fleet. */
export const unreachable = (what: string, cause?: unknown): PushfleetError =>
  new PushfleetError('unreachable', what, { cause });
