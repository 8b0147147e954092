import { PushfleetError } from '@pushfleet/core';

/**
 * The bytes of publications that were read and are not answered yet, over all callers: a log that is slow or
 * away must not fill the memory of this process.
 */
export class Budget {
  readonly #limit: number;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes held at this moment. */
  get held(): number {
    return this.#held;
  }

  /** @throws PushfleetError `unavailable` where they do not fit */
  hold(bytes: number): void {
    if (this.#held + bytes > this.#limit) {
      throw new PushfleetError(
        'unavailable',
        'This instance has more unfinished publications than it may hold; try again in a moment.',
        { retryAfterMs: 1_000 },
      );
    }
    this.#held += bytes;
  }

  release(bytes: number): void {
    this.#held -= bytes;
  }
}
