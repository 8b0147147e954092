import { PushfleetError } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';

export interface ReadLimits {
  /** Most reads at once, over all callers and of one token subject. */
  readonly reads: number;
  readonly readsPerSubject: number;
  /** Longest time of one read, in milliseconds. */
  readonly readMs: number;
  /** As `AbortSignal.timeout`. */
  readonly timeout?: (ms: number) => AbortSignal;
}

/** Bounds the reads of the log that callers ask for, so that a herd of them does not hold up publishing. */
export class Reads {
  readonly #limits: ReadLimits;
  readonly #bySubject = new Map<string, number>();
  #running = 0;

  constructor(limits: ReadLimits) {
    this.#limits = limits;
  }

  /** Reads under way. */
  get running(): number {
    return this.#running;
  }

  /**
   * Runs one read. Its signal is aborted when the caller leaves, when its time is up, and when it has ended.
   *
   * @throws PushfleetError `rate_limited` where too many run
   * @throws PushfleetError `timeout` where the time is up and the read did not end well all the same
   */
  async run<T>(
    { namespace, subject }: Grant,
    left: AbortSignal,
    read: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const key = `${namespace} ${subject}`;
    this.#enter(key);
    const over = new AbortController();
    const { readMs, timeout = AbortSignal.timeout } = this.#limits;
    const time = timeout(readMs);
    try {
      return await read(AbortSignal.any([left, time, over.signal]));
    } catch (error) {
      throw time.aborted && error === time.reason ? this.#late() : error;
    } finally {
      over.abort();
      this.#leave(key);
    }
  }

  #enter(key: string): void {
    const { reads, readsPerSubject } = this.#limits;
    const own = this.#bySubject.get(key) ?? 0;
    if (own >= readsPerSubject) throw tooMany(`${readsPerSubject} reads of yours`, readsPerSubject);
    if (this.#running >= reads) throw tooMany(`${reads} reads`, reads);
    this.#running++;
    this.#bySubject.set(key, own + 1);
  }

  #leave(key: string): void {
    this.#running--;
    const own = (this.#bySubject.get(key) ?? 0) - 1;
    if (own > 0) this.#bySubject.set(key, own);
    else this.#bySubject.delete(key);
  }

  #late(): PushfleetError {
    return new PushfleetError(
      'timeout',
      `The log was read for ${this.#limits.readMs / 1_000} s and nothing that matches was found. Name fewer or narrower filters, or begin later.`,
    );
  }
}

const tooMany = (what: string, limit: number): PushfleetError =>
  new PushfleetError(
    'rate_limited',
    `This instance is at ${what} of the log, its most; wait for an answer before you ask for the next page.`,
    { retryAfterMs: 1_000, detail: { limit } },
  );
