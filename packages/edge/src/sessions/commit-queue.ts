import type { Holding } from './holding.ts';

/** Sessions that wait for their turn to be committed. One that has left, or waits elsewhere by now, is passed over. */
export class CommitQueue {
  #all: Holding[] = [];
  #first = 0;

  push(holding: Holding): void {
    holding.queue = this;
    this.#all.push(holding);
  }

  /** The next one, which stays until it is shifted out. */
  peek(): Holding | undefined {
    for (let next = this.#all[this.#first]; next !== undefined; next = this.#all[this.#first]) {
      if (next.queue === this && next.over === undefined) return next;
      this.#pass();
    }
    return undefined;
  }

  /** Takes what `peek` has shown. */
  shift(): void {
    (this.#all[this.#first] as Holding).queue = undefined;
    this.#pass();
  }

  *[Symbol.iterator](): Iterator<Holding> {
    for (let at = this.#first; at < this.#all.length; at++) {
      const holding = this.#all[at] as Holding;
      if (holding.queue === this) yield holding;
    }
  }

  #pass(): void {
    this.#first++;
    if (this.#first === this.#all.length) {
      this.#all = [];
      this.#first = 0;
    }
  }
}
