const firstMs = 100;
const longestMs = 2_000;

/** How long to wait after so many failures in a row, in milliseconds: spread, so that a fleet does not come back in one moment. */
export function backoffMs(failures: number, random: () => number): number {
  const most = Math.min(longestMs, firstMs * 2 ** failures);
  return most / 2 + (random() * most) / 2;
}
