import type { Namespace } from '@pushfleet/core';

interface Bucket {
  tokens: number;
  /** When tokens were last added. */
  filledAt: number;
  /** When this window began; what was asked for in it, and in the one before. */
  windowAt: number;
  asked: number;
  askedBefore: number;
}

const windowMs = 1_000;
/** Nobody is told to wait longer, and a namespace that was quiet for so long is forgotten. */
const longestWaitMs = 60_000;
// Whoever waits as long as told finds a token, whatever the sums of fractions came to.
const rounding = 1e-6;

/**
 * A rate per namespace that several instances keep together: each takes a share in proportion to what it is asked
 * for. What is asked for counts up to the limit, refused or not, so that a publisher in a frenzy at one instance
 * does not take the share of the others.
 */
export class SharedRate {
  readonly #buckets = new Map<Namespace, Bucket>();
  readonly #now: () => number;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Takes room for one and returns 0, or takes none and returns the milliseconds to wait, a minute at most. At most
   * a second's worth of the share is taken at once.
   *
   * @param perSecond the limit over all instances
   * @param elsewhere what is asked for at the others, each second, by the same count
   */
  take(namespace: Namespace, perSecond: number, elsewhere: number): number {
    if (perSecond === 0) return longestWaitMs;
    const now = this.#now();
    const bucket = this.#buckets.get(namespace) ?? this.#open(namespace, now);
    turn(bucket, now);
    bucket.asked++;
    const share = shareOf(perSecond, Math.min(perSecond, askedLately(bucket, now)), elsewhere);
    const refilled = bucket.tokens + ((now - bucket.filledAt) / 1_000) * share;
    bucket.tokens = Math.min(Math.max(1, share), refilled);
    bucket.filledAt = now;
    if (bucket.tokens + rounding < 1) {
      return Math.min(longestWaitMs, Math.ceil(((1 - rounding - bucket.tokens) / share) * 1_000));
    }
    bucket.tokens = Math.max(0, bucket.tokens - 1);
    return 0;
  }

  #open(namespace: Namespace, now: number): Bucket {
    // Full: the first refill cuts it to a second's worth of the share.
    const tokens = Number.POSITIVE_INFINITY;
    const bucket = { tokens, filledAt: now, windowAt: now, asked: 0, askedBefore: 0 };
    this.#buckets.set(namespace, bucket);
    return bucket;
  }

  /** What was lately asked for here, each second, by namespace; forgets those that were long quiet. */
  *asked(): Iterable<readonly [Namespace, number]> {
    const now = this.#now();
    for (const [namespace, bucket] of this.#buckets) {
      turn(bucket, now);
      const asked = askedLately(bucket, now);
      if (asked > 0) yield [namespace, asked];
      else if (now - bucket.filledAt >= longestWaitMs) this.#buckets.delete(namespace);
    }
  }
}

function turn(bucket: Bucket, now: number): void {
  const windows = Math.floor((now - bucket.windowAt) / windowMs);
  if (windows === 0) return;
  bucket.askedBefore = windows === 1 ? bucket.asked : 0;
  bucket.asked = 0;
  bucket.windowAt += windows * windowMs;
}

/** Over the last second, as if the window before this one had been evenly filled. */
function askedLately({ asked, askedBefore, windowAt }: Bucket, now: number): number {
  return asked + askedBefore * (1 - (now - windowAt) / windowMs);
}

/**
 * With room for all, whatever the others leave; else a part in proportion. Both are the same where they meet, and
 * the shares of all instances never add up to more than the limit once they know of each other.
 */
function shareOf(perSecond: number, here: number, elsewhere: number): number {
  const together = here + elsewhere;
  return together > perSecond ? (perSecond * here) / together : perSecond - elsewhere;
}
