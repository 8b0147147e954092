const baseMs = 500;
const mostMs = 30_000;

/** Waits that double, each drawn evenly from nothing to its bound ("full jitter"), so that clients cut together come back spread. */
export class Backoff {
  readonly #random: () => number;
  readonly #baseMs: number;
  readonly #mostMs: number;
  #failures = 0;

  /** @param random evenly from 0 up to but not including 1 */
  constructor(random: () => number, base = baseMs, most = mostMs) {
    this.#random = random;
    this.#baseMs = base;
    this.#mostMs = most;
  }

  /** How long to wait after another failure, in milliseconds. */
  next(): number {
    const most = Math.min(this.#mostMs, this.#baseMs * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    return Math.round(this.#random() * most);
  }

  reset(): void {
    this.#failures = 0;
  }
}
