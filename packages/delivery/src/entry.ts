import type { Taken } from '@pushfleet/bus';

/** An entry of the queue in this worker's hands: done when all that it asks for is settled, or on record elsewhere. */
export class Entry {
  readonly #taken: Taken;
  readonly #onDone: (entry: Entry) => void;
  #open: number;
  /** When its term began, Unix time in milliseconds. */
  termSince: number;

  constructor(taken: Taken, open: number, now: number, onDone: (entry: Entry) => void) {
    this.#taken = taken;
    this.#open = open;
    this.#onDone = onDone;
    this.termSince = now;
  }

  /** One of the things it asks for needs it no more. */
  settle(): void {
    if (--this.#open > 0) return;
    this.#taken.done();
    this.#onDone(this);
  }

  /** It was in somebody's hands before. */
  get again(): boolean {
    return this.#taken.again;
  }

  /** When it was stored, Unix time in milliseconds. */
  get time(): number {
    return this.#taken.time;
  }

  extend(now: number): void {
    this.termSince = now;
    this.#taken.extend();
  }

  /** Hands it to the slot's next owner. */
  back(): void {
    this.#taken.back();
    this.#onDone(this);
  }
}

/**
 * Where a delivery is on record while it is under way, so that it outlives this worker: with its entry of the
 * queue, as an entry of its lane, or as an appointment.
 */
export type Record =
  | { readonly on: 'queue'; readonly entry: Entry }
  | { readonly on: 'lane'; readonly sequence: number }
  | { readonly on: 'appointment' };
