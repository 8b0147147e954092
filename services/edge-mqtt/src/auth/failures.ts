import { PushfleetError } from '@pushfleet/core';

export interface FailuresOptions {
  /** Within one window. */
  readonly most: number;
  readonly windowMs: number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

interface Count {
  failed: number;
  readonly until: number;
}

/** Names remembered; the one that failed first is forgotten first. */
const mostNames = 10_000;

/** Who guessed wrong too often. What is right is not counted: a herd that comes back is not held up. */
export class Failures {
  readonly #o: FailuresOptions;
  readonly #counts = new Map<string, Count>();

  constructor(options: FailuresOptions) {
    this.#o = options;
  }

  /** @throws PushfleetError `rate_limited` */
  require(name: string): void {
    const count = this.#counts.get(name);
    const { most, now } = this.#o;
    if (count === undefined || count.failed < most) return;
    const left = count.until - now();
    if (left > 0) {
      throw new PushfleetError(
        'rate_limited',
        `${most} attempts were wrong; wait ${Math.ceil(left / 1_000)} s.`,
        { retryAfterMs: left },
      );
    }
    this.#counts.delete(name);
  }

  add(name: string): void {
    const { windowMs, now } = this.#o;
    const at = now();
    const before = this.#counts.get(name);
    if (before !== undefined && at < before.until) before.failed++;
    else {
      this.#counts.delete(name);
      this.#counts.set(name, { failed: 1, until: at + windowMs });
    }
    if (this.#counts.size > mostNames) this.#counts.delete(this.#counts.keys().next().value as string);
  }
}
