import { PublishError } from './error.ts';

/** A token, or a function that gives one that is good for a while. */
export type TokenOption = string | (() => Promise<string>);

/** A token is renewed when this share of its life is left, at most a minute before its end. */
const renewShare = 0.2;
const renewMostMs = 60_000;
/** A function that fails is not asked again sooner. */
const askAgainMs = 1_000;

interface Held {
  readonly token: string;
  readonly renewAt: number;
  readonly expiresAt: number;
}

/** Gives a token that has not expired, asking for a new one in time, once for all who need it. */
export class TokenSource {
  readonly #ask: (() => Promise<string>) | undefined;
  readonly #now: () => number;
  #held: Held | undefined;
  #asking: Promise<Held> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
  #failure: unknown;

  /** @param now Unix time in milliseconds */
  constructor(token: TokenOption, now: () => number = Date.now) {
    this.#now = now;
    if (typeof token === 'function') this.#ask = token;
    else this.#held = { token, ...never };
  }

  /** @throws PublishError `unavailable` where the function fails and nothing is left to use */
  async get(): Promise<string> {
    const now = this.#now();
    const held = this.#held;
    if (held !== undefined && now < held.renewAt) return held.token;
    const renewed = this.#renew();
    if (held === undefined || now >= held.expiresAt) return (await renewed).token;
    renewed.catch(() => {}); // the one held is still good
    return held.token;
  }

  /** Another one in place of the token that was refused, or undefined where there is only that one. */
  async replace(refused: string): Promise<string | undefined> {
    if (this.#ask === undefined) return undefined;
    if (this.#held?.token === refused) this.#held = undefined;
    const token = await this.get();
    return token === refused ? undefined : token;
  }

  #renew(): Promise<Held> {
    this.#asking ??= this.#askOnce().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askOnce(): Promise<Held> {
    try {
      if (this.#now() < this.#failedAt + askAgainMs) throw this.#failure;
      const token = await this.#ask?.();
      if (typeof token !== 'string' || token === '') throw new TypeError('it gave no token');
      this.#held = { token, ...lifeOf(token, this.#now()) };
      return this.#held;
    } catch (cause) {
      if (cause !== this.#failure) this.#failedAt = this.#now();
      this.#failure = cause;
      throw new PublishError('unavailable', 'The token function failed; the cause says how.', { cause });
    }
  }
}

const never = { renewAt: Number.POSITIVE_INFINITY, expiresAt: Number.POSITIVE_INFINITY };

/** When a JWT says it ends; a token that says nothing is used until it is refused. */
function lifeOf(token: string, now: number): { renewAt: number; expiresAt: number } {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as unknown;
    const { exp } = claims as { exp?: unknown };
    if (typeof exp !== 'number') return never;
    const expiresAt = exp * 1_000;
    return { expiresAt, renewAt: expiresAt - Math.min(renewMostMs, (expiresAt - now) * renewShare) };
  } catch {
    return never;
  }
}
