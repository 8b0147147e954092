import { meanings, PushfleetError } from '@pushfleet/core';
import { CallError } from '@pushfleet/outbound';

/** Why a feed was not fetched, or not published. */
export class Failure extends Error {
  readonly retryAfterMs: number | undefined;
  /** The next attempt would fail as well. */
  readonly final: boolean;

  constructor(
    message: string,
    {
      retryAfterMs,
      final = false,
      cause,
    }: { retryAfterMs?: number | undefined; final?: boolean; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.retryAfterMs = retryAfterMs;
    this.final = final;
  }
}

/** Its cause is for the log: what failed in here. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof CallError)
    return new Failure(thrown.message, { final: thrown.failure === 'refused' });
  if (!(thrown instanceof PushfleetError)) return new Failure('It failed in here.', { cause: thrown });
  const { code, message, retryAfterMs, cause } = thrown;
  if (code === 'internal') return new Failure(message, { cause });
  // Who was overtaken by another instance looks again at what there is.
  const final = !meanings[code].retry && code !== 'conflict';
  return new Failure(message, { retryAfterMs, final });
}
