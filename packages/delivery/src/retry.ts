/** A longer wish of a receiver counts as this, in milliseconds. */
export const longestWishMs = 86_400_000;
/** Attempts of many deliveries that failed together are spread by this part of their delay, both ways. */
const spread = 0.2;
/**
 * An attempt that was written down while it was under way, and whose worker died, is made again so long after its time
 * was over, in milliseconds.
 */
export const graceMs = 5_000;

/**
 * In how many milliseconds a delivery is tried again of which `attempts` have failed; undefined where that was the
 * last.
 *
 * @param table delays after the first attempt, the second and so on
 * @param wishMs how long the receiver asks to wait; never sooner than that
 */
export function retryDelay(
  table: readonly number[],
  attempts: number,
  wishMs: number | undefined,
  random: () => number = Math.random,
): number | undefined {
  const delay = table[attempts - 1];
  if (delay === undefined) return undefined;
  const jittered = delay * (1 - spread + 2 * spread * random());
  return Math.round(Math.max(jittered, Math.min(wishMs ?? 0, longestWishMs)));
}

/** The longest time from a delivery's first attempt to its last. */
export function horizonMs(table: readonly number[]): number {
  return table.reduce((sum, delay) => sum + Math.max(delay * (1 + spread), longestWishMs), 0);
}
