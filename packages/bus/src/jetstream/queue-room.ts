import type { PushfleetError } from '@pushfleet/core';

/** How full a stream is, in bytes. */
export interface Fill {
  readonly used: number;
  readonly most: number;
}

const freshMs = 1_000;
/** What was heard so long ago is asked for before anything more is stored. */
const staleMs = 10_000;
/** After this part of the whole was stored the broker is asked again, however little time has passed. */
const part = 1 / 16;

/**
 * Refuses what a stream has no room for. nats-server itself cannot for one with message schedules: there it would
 * make room by removing the oldest (it takes no `discard: new`). So the bound may be passed by what several
 * processes store within a second.
 */
export class Room {
  readonly #ask: () => Promise<Fill>;
  readonly #full: () => PushfleetError;
  #fill: Fill | undefined;
  #askedAt = 0;
  /** Stored by this process since it was asked, in bytes. */
  #added = 0;
  #asking: Promise<Fill> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(ask: () => Promise<Fill>, full: () => PushfleetError) {
    this.#ask = ask;
    this.#full = full;
  }

  /** Settles in the order of the calls. @throws PushfleetError where there is no room, or none can be asked for */
  take(bytes: number): Promise<void> {
    const taken = this.#last.then(() => this.#take(bytes));
    this.#last = taken.catch(() => {});
    return taken;
  }

  async #take(bytes: number): Promise<void> {
    const age = Date.now() - this.#askedAt;
    if (this.#fill === undefined || age > staleMs) await this.#refresh();
    else if (age > freshMs || this.#added > this.#fill.most * part) this.#refresh().catch(() => {});
    if (!this.#fits(bytes)) {
      await this.#refresh();
      if (!this.#fits(bytes)) throw this.#full();
    }
    this.#added += bytes;
  }

  #fits(bytes: number): boolean {
    const { used, most } = this.#fill as Fill;
    return used + this.#added + bytes <= most;
  }

  #refresh(): Promise<Fill> {
    this.#asking ??= this.#answer().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #answer(): Promise<Fill> {
    const before = this.#added;
    this.#fill = await this.#ask();
    this.#askedAt = Date.now();
    this.#added -= before; // what was stored while it was asked may be in the answer, or not
    return this.#fill;
  }
}
