import type { Socket } from 'node:net';

/** What a network does to everything that passes one way through a door. */
export interface Way {
  /** Nothing passes, and nobody is told; what was sent meanwhile comes when it is over, as TCP repeats it. */
  silent: boolean;
  delayMs: number;
  /** Shared by all connections; Infinity where nothing limits them. */
  bytesPerSecond: number;
  /** When the last byte that was taken will have passed. */
  busyUntil: number;
}

export const clearWay = (): Way => ({
  silent: false,
  delayMs: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  busyUntil: 0,
});

/** What is on its way at most, in bytes; the rest waits with who sends it. */
const heldBytes = 1 << 20;

interface Piece {
  /** Undefined: the sender has ended. */
  readonly bytes: Buffer | undefined;
  readonly at: number;
}

/** One direction of a connection through a door. */
export class Conduit {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #way: Way;
  readonly #pieces: Piece[] = [];
  #held = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, way: Way) {
    this.#from = from;
    this.#to = to;
    this.#way = way;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.on('end', () => this.#take(undefined));
    to.on('drain', () => this.move());
    for (const end of [from, to]) end.once('close', () => clearTimeout(this.#timer));
    this.move();
  }

  #take(bytes: Buffer | undefined): void {
    const size = bytes?.length ?? 0;
    const way = this.#way;
    way.busyUntil = Math.max(performance.now(), way.busyUntil) + (size / way.bytesPerSecond) * 1_000;
    this.#pieces.push({ bytes, at: way.busyUntil + way.delayMs });
    this.#held += size;
    this.move();
  }

  /** Hands on what may pass by now; called again whenever the way has changed. */
  move(): void {
    clearTimeout(this.#timer);
    const writable = (): boolean => !this.#way.silent && !this.#to.writableNeedDrain;
    for (let [next] = this.#pieces; next !== undefined && writable(); [next] = this.#pieces) {
      const wait = next.at - performance.now();
      // A timer may be early by a part of a millisecond.
      if (wait > 1) {
        this.#timer = setTimeout(() => this.move(), wait);
        break;
      }
      this.#pieces.shift();
      this.#held -= next.bytes?.length ?? 0;
      if (next.bytes === undefined) this.#to.end();
      else this.#to.write(next.bytes);
    }
    if (writable() && this.#held < heldBytes) this.#from.resume();
    else this.#from.pause();
  }
}
