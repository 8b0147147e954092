import type { Taken } from '@pushfleet/bus';

/** An entry that stays longer has its term extended as often, in milliseconds. */
const extendMs = 3_000;
/** Entries that are done are told to the broker together, so long after the first: each alone would be a write. */
const tellMs = 5;

/** The entries of the queue in this worker's hands. */
export class EntriesInHand {
  /** In the order in which their terms began. */
  readonly #entries = new Set<Entry>();
  #done: Taken[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param open how many things the entry asks for */
  take(taken: Taken, open: number): Entry {
    const entry = new Entry(taken, open, Date.now(), (over, done) => {
      this.#entries.delete(over);
      if (!done) return;
      this.#done.push(taken);
      this.#timer ??= setTimeout(() => this.tell(), tellMs);
    });
    this.#entries.add(entry);
    return entry;
  }

  /** Keeps the terms of those that take long. */
  extend(now: number): void {
    for (const entry of this.#entries) {
      if (now - entry.termSince < extendMs) break;
      this.#entries.delete(entry);
      this.#entries.add(entry);
      entry.extend(now);
    }
  }

  /** Tells the broker of all that are done. */
  tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const done = this.#done;
    this.#done = [];
    for (const taken of done) taken.done();
  }
}

/** An entry of the queue in this worker's hands: done when all that it asks for is settled, or on record elsewhere. */
export class Entry {
  readonly #taken: Taken;
  readonly #onOver: (entry: Entry, done: boolean) => void;
  #open: number;
  /** When its term began, Unix time in milliseconds. */
  termSince: number;

  constructor(taken: Taken, open: number, now: number, onOver: (entry: Entry, done: boolean) => void) {
    this.#taken = taken;
    this.#open = open;
    this.#onOver = onOver;
    this.termSince = now;
  }

  /** One of the things it asks for needs it no more. */
  settle(): void {
    if (--this.#open === 0) this.#onOver(this, true);
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
    this.#onOver(this, false);
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
