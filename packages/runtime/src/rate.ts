export interface RateOptions {
  /** Tokens that come back each second. */
  readonly perSecond: number;
  /** Most tokens that pile up: the largest burst. */
  readonly burst: number;
  /** Most keys remembered; the one used longest ago is forgotten first. */
  readonly keys?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Token buckets, one per key. */
export class RateLimit {
  constructor(_options: RateOptions) {
    throw new Error('not yet');
  }

  /** Takes `count` tokens of the key's bucket and returns 0, or takes none and returns the milliseconds to wait. */
  take(_key: string, _count = 1): number {
    throw new Error('not yet');
  }

  /** As `take`. @throws PushfleetError `rate_limited` with `retryAfterMs` */
  require(_key: string, _count = 1): void {
    throw new Error('not yet');
  }
}
