/** What a receiver may be given, where it stands. */
export interface Terms {
  /** One after the other, in the order of its lane. */
  readonly ordered: boolean;
  /** Most deliveries at once. */
  readonly concurrency: number;
  /** Most deliveries a second. */
  readonly rate: number;
}

export interface GateLimits {
  /** Failures in a row after which the receiver is left alone. */
  readonly breakerFailures: number;
  /** For how long at first, in milliseconds. */
  readonly breakerMs: number;
}

/** A pause of the breaker grows up to so many times its first length. */
const longestPause = 16;
/** A receiver that nobody knows gets so many at once until it has answered. */
const firstAllowed = 2;

/**
 * Says when a receiver may be given the next delivery. A receiver that answers is given more at once, up to its
 * terms; one that fails is given fewer, and is left alone for a while where it goes on failing; one delivery then
 * finds out whether it is back. Times are Unix milliseconds.
 */
export class Gate {
  readonly #limits: GateLimits;
  readonly #random: () => number;
  #allowed = firstAllowed;
  #failures = 0;
  #pauses = 0;
  #notBefore = 0;
  /** When the rate allows the next, had all before been spread evenly. */
  #paced = 0;

  constructor(limits: GateLimits, random: () => number = Math.random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Whether the receiver is left alone at this time. */
  shut(now: number): boolean {
    return this.#notBefore > now;
  }

  /**
   * In how many milliseconds another delivery may begin while `active` are on their way: 0 for now, Infinity for
   * "when one of them is back".
   */
  wait(now: number, active: number, terms: Terms): number {
    if (active >= (terms.ordered ? 1 : Math.min(terms.concurrency, this.#allowed))) return Infinity;
    if (this.#notBefore > now) return this.#notBefore - now;
    // A second's worth may come at once; then they are spread.
    const earliest = this.#paced - 1_000 + 1_000 / terms.rate;
    return earliest > now ? Math.ceil(earliest - now) : 0;
  }

  /** One has begun. */
  pass(now: number, terms: Terms): void {
    this.#paced = Math.max(this.#paced, now) + 1_000 / terms.rate;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pauses = 0;
    this.#notBefore = 0;
    this.#allowed = Math.min(this.#allowed * 2, Number.MAX_SAFE_INTEGER);
  }

  /** @param retryAfterMs how long the receiver asks to be left alone */
  failed(now: number, retryAfterMs: number): void {
    this.#failures++;
    this.#allowed = Math.max(1, Math.floor(this.#allowed / 2));
    this.#notBefore = Math.max(this.#notBefore, now + retryAfterMs);
    if (this.#failures < this.#limits.breakerFailures || this.#notBefore > now) return;
    const pause = this.#limits.breakerMs * Math.min(2 ** this.#pauses++, longestPause);
    this.#allowed = 1;
    // Jittered, so that the lanes of one receiver do not come back in step.
    this.#notBefore = now + pause * (0.8 + 0.4 * this.#random());
  }
}
