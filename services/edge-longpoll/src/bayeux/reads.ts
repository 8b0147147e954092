import type { Ledger } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import { UnknownClient } from './reply.ts';

/** Records read at once, and those that wait for their turn: what an instance that died leaves to the others. */
const mostReads = 64;
const mostWaiting = 10_000;
/** How long a session that was not found is known not to be there, in milliseconds, and how many are. */
const missMs = 1_000;
const mostMisses = 10_000;

/** A client id as handshakes give it. */
const shape = /^[0-9a-f]{40}$/;

/**
 * @throws PushfleetError `UnknownClient` where no handshake can have given it, so that nobody makes the log work by
 *   what he thinks up
 */
export function requireShape(clientId: string): void {
  if (!shape.test(clientId)) throw new UnknownClient();
}

export interface Held {
  readonly value: Uint8Array;
  readonly revision: number;
}

/** Reads the records of sessions that are elsewhere, or nowhere: whoever can send a request can ask for one. */
export class Reads {
  readonly #ledger: Pick<Ledger, 'get'>;
  readonly #waiting: (() => void)[] = [];
  /** Until when a key is known to have no session, by `performance.now()`; the oldest first. */
  readonly #misses = new Map<string, number>();
  #under = 0;

  constructor(ledger: Pick<Ledger, 'get'>) {
    this.#ledger = ledger;
  }

  /**
   * What stands there. Client ids are random and never given twice: one without a session does not get one later.
   *
   * @throws PushfleetError `UnknownClient` where nothing does, or an end; `unavailable`, also where too many ask
   */
  async get(key: string): Promise<Held> {
    const missed = this.#misses.get(key);
    if (missed !== undefined && performance.now() < missed) throw new UnknownClient();
    const found = await this.#inTurn(() => this.#ledger.get(key));
    if (found !== undefined && found.value.length > 0) return found;
    this.#miss(key);
    throw new UnknownClient();
  }

  #miss(key: string): void {
    this.#misses.delete(key);
    this.#misses.set(key, performance.now() + missMs);
    if (this.#misses.size > mostMisses) this.#misses.delete(this.#misses.keys().next().value as string);
  }

  async #inTurn<T>(read: () => Promise<T>): Promise<T> {
    if (this.#under >= mostReads) await this.#turn();
    else this.#under++;
    try {
      return await read();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#under--;
      else next();
    }
  }

  async #turn(): Promise<void> {
    if (this.#waiting.length >= mostWaiting) {
      throw new PushfleetError(
        'unavailable',
        'Too many sessions are looked for at once; try again shortly.',
        {
          retryAfterMs: 1_000,
        },
      );
    }
    await new Promise<void>((resolve) => void this.#waiting.push(resolve));
  }
}
