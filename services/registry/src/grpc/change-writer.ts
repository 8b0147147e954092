import type { Sink } from './watches.ts';

const batchChanges = 500;
/** Changes that may wait for a caller that does not read, beside what it began with. */
const mostPending = 100_000;

/** Writes changes to one caller, each once and in order, as fast as it reads. What comes together travels together. */
export class ChangeWriter<Change, Response> {
  readonly #sink: Sink<Response>;
  readonly #toMessage: (changes: Change[], complete: boolean) => Response;
  #pending: Change[] = [];
  /** How much is left of what the caller began with. */
  #firstLeft = 0;
  #scheduled = false;
  #blocked = false;
  #stopped = false;

  /** @param toMessage `complete`: the caller has had all that it began with, this message included */
  constructor(sink: Sink<Response>, toMessage: (changes: Change[], complete: boolean) => Response) {
    this.#sink = sink;
    this.#toMessage = toMessage;
    sink.onDrain(() => {
      this.#blocked = false;
      if (this.#pending.length > 0) this.#schedule();
    });
  }

  /** Writes what the caller begins with at once; a message without changes where that is nothing. */
  begin(first: readonly Change[]): void {
    this.#pending = [...first];
    this.#firstLeft = first.length;
    this.#flush();
  }

  add(change: Change): void {
    if (this.#stopped) return;
    this.#pending.push(change);
    if (this.#pending.length > mostPending + this.#firstLeft) this.#sink.overflow();
    else this.#schedule();
  }

  /** Nothing is written from here on. */
  stop(): void {
    this.#stopped = true;
    this.#pending = [];
  }

  #schedule(): void {
    if (this.#scheduled || this.#blocked || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#stopped) this.#flush();
    });
  }

  #flush(): void {
    let next = 0;
    do {
      const changes = this.#pending.slice(next, next + batchChanges);
      next += changes.length;
      this.#firstLeft = Math.max(0, this.#firstLeft - changes.length);
      this.#blocked = !this.#sink.write(this.#toMessage(changes, this.#firstLeft === 0));
    } while (next < this.#pending.length && !this.#blocked);
    this.#pending = this.#pending.slice(next);
  }
}
