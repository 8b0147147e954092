/**
 * Every way a request to the fleet can fail. The set is closed: a new code is a new row in `docs/errors.md`
 * and in the tables of `status.ts`.
 */
export type ErrorCode =
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
  | 'target_refused'
  | 'handshake_failed'
  | 'not_found'
  | 'method_not_allowed'
  | 'unsupported_media_type'
  | 'conflict'
  | 'precondition_failed'
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
  | 'internal';

/** What an error may carry beside its message. */
export interface ErrorOptions {
  readonly cause?: unknown;
  /** How long the caller should wait before it tries again, in milliseconds. */
  readonly retryAfterMs?: number;
  /** Problem fields a program may act on: the limit that was passed, the name of a parameter. Never a secret. */
  readonly detail?: Readonly<Record<string, string | number>>;
}

/**
 * The one error that crosses a package's border. Its message is written for the person who has to act:
 * what went wrong, with what value, and what to do.
 */
export class PushfleetError extends Error {
  override readonly name = 'PushfleetError';
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;
  readonly detail: Readonly<Record<string, string | number>> | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.detail = options.detail;
  }

  /** An error as it is, or an `internal` one around whatever else was thrown. */
  static from(thrown: unknown): PushfleetError {
    if (thrown instanceof PushfleetError) return thrown;
    return new PushfleetError(
      'internal',
      'Something failed inside the fleet; the log of this service says what.',
      {
        cause: thrown,
      },
    );
  }
}
