import { PushfleetError } from '@pushfleet/core';

export interface RateOptions {
  /** Tokens that come back each second. */
  readonly perSecond: number;
  /** Most tokens that pile up: the largest burst. */
  readonly burst: number;
  /** Most keys remembered, 10,000 by default; the one used longest ago is forgotten first and starts full again. */
  readonly keys?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

interface Bucket {
  tokens: number;
  at: number;
}

// Whoever waits as long as told finds a token, whatever the sums of fractions came to.
const rounding = 1e-6;

/** Token buckets, one per key: a namespace, a subject, an address. */
export class RateLimit {
  readonly #options: RateOptions;
  readonly #now: () => number;
  readonly #keys: number;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: RateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#keys = options.keys ?? 10_000;
  }

  /**
   * Takes `count` tokens of the key's bucket and returns 0, or takes none and returns the milliseconds to wait.
   * More than the burst never fits: `Infinity`.
   */
  take(key: string, count = 1): number {
    const { perSecond, burst } = this.#options;
    if (count > burst) return Number.POSITIVE_INFINITY;
    const bucket = this.#refilled(key);
    if (bucket.tokens + rounding >= count) {
      bucket.tokens = Math.max(0, bucket.tokens - count);
      return 0;
    }
    return Math.ceil(((count - rounding - bucket.tokens) / perSecond) * 1_000);
  }

  /** As `take`. @throws PushfleetError `rate_limited` with `retryAfterMs` */
  require(key: string, count = 1): void {
    const waitMs = this.take(key, count);
    if (waitMs === 0) return;
    const { perSecond, burst } = this.#options;
    const detail = { limit: perSecond, burst };
    if (waitMs === Number.POSITIVE_INFINITY) {
      throw new PushfleetError(
        'rate_limited',
        `${count} at once is more than the burst of ${burst}; send fewer.`,
        {
          detail,
        },
      );
    }
    throw new PushfleetError(
      'rate_limited',
      `More than ${perSecond} a second with bursts of ${burst}; wait ${Math.ceil(waitMs / 1_000)} s.`,
      { retryAfterMs: waitMs, detail },
    );
  }

  #refilled(key: string): Bucket {
    const now = this.#now();
    const { perSecond, burst } = this.#options;
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1_000) * perSecond);
    bucket.at = now;
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#keys) this.#forgetOldest();
    return bucket;
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
