import type { Clock } from './clock.ts';

/** Things that go after a while unless somebody wants them back: one timer for all of them. */
export class Linger<T> {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #expire: (thing: T) => void;
  /** In the order of their deadlines, because every one waits equally long. */
  readonly #deadlines = new Map<T, number>();
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, ms: number, expire: (thing: T) => void) {
    this.#clock = clock;
    this.#ms = Math.max(1, ms); // what comes back at its expiry must let time pass
    this.#expire = expire;
  }

  /** Starts the wait, or starts it again. */
  add(thing: T): void {
    this.#deadlines.delete(thing);
    this.#deadlines.set(thing, this.#clock.now() + this.#ms);
    this.#cancel ??= this.#clock.after(this.#ms, this.#sweep);
  }

  /** Whether it was waiting, and now waits no more. */
  delete(thing: T): boolean {
    return this.#deadlines.delete(thing);
  }

  /** Stops all waiting without an expiry. */
  clear(): void {
    this.#deadlines.clear();
    this.#cancel?.();
    this.#cancel = undefined;
  }

  readonly #sweep = (): void => {
    this.#cancel = undefined;
    const now = this.#clock.now();
    const due: T[] = [];
    for (const [thing, deadline] of this.#deadlines) {
      if (deadline > now) {
        this.#cancel = this.#clock.after(deadline - now, this.#sweep);
        break;
      }
      due.push(thing);
    }
    for (const thing of due) this.#deadlines.delete(thing);
    for (const thing of due) this.#expire(thing);
  };
}
