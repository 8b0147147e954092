import type { Clock } from './clock.ts';
import { PushfleetError } from './errors.ts';

/** A token, or a function that gives one. */
export type TokenOption = string | (() => string | Promise<string>);

/** A token is renewed when this share of its life is left, at most a minute before its end. */
const renewShare = 0.2;
const renewMostMs = 60_000;

/** Gives a token that has not ended, asking for one in time, once for all who need it. */
export class Tokens {
  readonly #option: TokenOption;
  readonly #clock: Clock;
  #held: string | undefined;
  #asking: Promise<string> | undefined;
  /** How often it was refused since it was last taken. */
  #refusals = 0;
  /** When to renew the one held, Unix time in milliseconds. */
  renewAt = Number.POSITIVE_INFINITY;

  constructor(option: TokenOption, clock: Clock) {
    this.#option = option;
    this.#clock = clock;
  }

  /** @throws PushfleetError `unavailable` where the function fails */
  get(): Promise<string> {
    if (this.#held !== undefined && this.#clock.now() < this.renewAt) return Promise.resolve(this.#held);
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(): Promise<string> {
    const option = this.#option;
    if (typeof option === 'string') return this.#hold(option);
    try {
      const token = await option();
      if (typeof token === 'string' && token !== '') return this.#hold(token);
      throw new TypeError('The token function gave no token.');
    } catch (cause) {
      throw new PushfleetError('unavailable', 'The token function failed; the cause says how.', { cause });
    }
  }

  #hold(token: string): string {
    this.#held = token;
    const now = this.#clock.now();
    const left = (endOf(token) ?? now) - now;
    // What cannot be renewed, and what is over by this device's clock alone, is used until the fleet refuses it.
    const renews = typeof this.#option === 'function' && left > 0;
    this.renewAt = renews ? now + left - Math.min(renewMostMs, left * renewShare) : Number.POSITIVE_INFINITY;
    return token;
  }

  /** The fleet took the token. */
  accepted(): void {
    this.#refusals = 0;
  }

  /** The fleet refused the token: @returns whether asking for another one may help */
  refused(token: string): boolean {
    if (typeof this.#option === 'string') return false;
    if (token !== this.#held) return true; // there is another one by now
    this.#held = undefined;
    this.#refusals++;
    return this.#refusals <= 1;
  }
}

/** When a JWT says it ends, Unix time in milliseconds. */
function endOf(token: string): number | undefined {
  try {
    const claims = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    const { exp } = JSON.parse(atob(claims)) as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}
