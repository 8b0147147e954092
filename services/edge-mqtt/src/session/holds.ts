/** Why nothing is read at this moment. */
export const holds = { subscribing: 1, publishing: 2, answers: 4, finishing: 8 } as const;

type Why = (typeof holds)[keyof typeof holds];

/** Has a wire not read while there is a reason for it. */
export class Holds {
  readonly #wire: { hold(): void; release(): void };
  #all = 0;

  constructor(wire: { hold(): void; release(): void }) {
    this.#wire = wire;
  }

  get any(): boolean {
    return this.#all !== 0;
  }

  hold(why: Why): void {
    if (this.#all === 0) this.#wire.hold();
    this.#all |= why;
  }

  /** @param reads whether the wire is to be read again where this was the last reason */
  release(why: Why, reads: boolean): void {
    if ((this.#all & why) === 0) return;
    this.#all &= ~why;
    if (this.#all === 0 && reads) this.#wire.release();
  }
}
