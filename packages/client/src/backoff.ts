const baseMs = 500;
const mostMs = 30_000;

/** Waits that double, each drawn evenly from nothing to its bound ("full jitter"), so that clients cut together come back spread. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  /** @param random evenly from 0 up to but not including 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** How long to wait after another failure, in milliseconds. */
  next(): number {
    const most = Math.min(mostMs, baseMs * 2 ** this.#failures);
    this.#failures++;
    return Math.round(this.#random() * most);
  }

  reset(): void {
    this.#failures = 0;
  }
}
