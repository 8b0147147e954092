const firstMs = 50;
const mostMs = 2_000;

/**
 * How long to wait before the next attempt, in milliseconds: anywhere below a bound that doubles ("full jitter"), so
 * that publishers whom one failure struck together do not come back together. On top of what the fleet asked for.
 *
 * @param failures how many attempts in a row failed, from 1
 * @param random from 0 up to but not including 1
 */
export function backOffMs(failures: number, retryAfterMs: number, random: () => number): number {
  const bound = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 16));
  return retryAfterMs + random() * bound;
}
