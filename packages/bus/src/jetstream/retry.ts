import { setTimeout as sleep } from 'node:timers/promises';
import { PushfleetError } from '@pushfleet/core';
import { Disconnected } from './link.ts';

/** A changing leader answers nothing for 4 to 7 s. */
const patienceMs = 12_000;
/** A lost connection mostly comes back within two. */
const disconnectedPatienceMs = 3_000;
const pauseMs = 200;

/**
 * Asks again while the log is out of reach, for as long as a leader change may take.
 *
 * @throws what `ask` threw last
 */
export async function patiently<T>(ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const begun = Date.now();
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof PushfleetError) || error.code !== 'unavailable' || signal?.aborted) throw error;
      const patience = error instanceof Disconnected ? disconnectedPatienceMs : patienceMs;
      if (Date.now() - begun > patience) throw error;
      await sleep(pauseMs * (0.5 + Math.random()), undefined, { ref: false });
    }
  }
}

/** Runs one call at a time; whoever comes while it runs shares the next, so that no answer is older than its question. */
export class Coalesced<T> {
  readonly #ask: () => Promise<T>;
  #running: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  run(): Promise<T> {
    if (this.#running === undefined) return this.#begin();
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<T> {
    this.#next = undefined;
    const running = this.#ask();
    this.#running = running;
    const over = () => {
      if (this.#running === running) this.#running = undefined;
    };
    running.then(over, over);
    return running;
  }
}
