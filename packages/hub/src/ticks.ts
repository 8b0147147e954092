/** Something with news for its owner. */
export interface Ticking {
  tick(): void;
}

/**
 * Tells all feeds with news in one go, once the event loop has read what there is to read: an idle process
 * tells at once, a busy one tells of many publications together.
 */
export class Ticks {
  #waiting: Ticking[] = [];

  /** Each feed once per tick: it keeps a flag of its own. */
  add(one: Ticking): void {
    if (this.#waiting.push(one) === 1) setImmediate(this.#run);
  }

  readonly #run = (): void => {
    const batch = this.#waiting;
    this.#waiting = [];
    for (const one of batch) one.tick();
  };
}
