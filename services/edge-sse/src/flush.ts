/** Something that writes what has queued up for it. */
export interface Flushable {
  flush(): void;
  /** The flush threw: an error of ours. */
  failed(error: unknown): void;
}

/**
 * Collects whoever has something to write and flushes them together once the event loop has read what there is
 * to read. An idle process flushes at once; a busy one finds several publications per connection and writes
 * them with one system call, which is what a delivery costs most.
 */
export class FlushQueue {
  /** The runs of the pass under way. */
  readonly runs = new Runs();
  #waiting: Flushable[] = [];

  add(one: Flushable): void {
    if (this.#waiting.push(one) === 1) setImmediate(this.#pass);
  }

  readonly #pass = (): void => {
    const batch = this.#waiting;
    this.#waiting = [];
    for (const one of batch) {
      try {
        one.flush();
      } catch (error) {
        one.failed(error);
      }
    }
    this.runs.clear();
  };
}

interface Run {
  readonly frames: readonly Buffer[];
  readonly bytes: Buffer;
}

// Connections that were slower have runs of their own; beyond this many they are not worth remembering.
const remembered = 64;

/**
 * Several frames as one buffer. A thousand connections with the same filters have the same frames pending, and
 * frames are shared, so the buffer that was made for the first connection serves them all.
 */
export class Runs {
  readonly #byFirst = new Map<Buffer, Run>();

  bytes(frames: readonly Buffer[]): Buffer {
    const first = frames[0] as Buffer;
    if (frames.length === 1) return first;
    const known = this.#byFirst.get(first);
    if (known !== undefined && same(known.frames, frames)) return known.bytes;
    const bytes = Buffer.concat(frames);
    if (this.#byFirst.size < remembered) this.#byFirst.set(first, { frames, bytes });
    return bytes;
  }

  clear(): void {
    if (this.#byFirst.size > 0) this.#byFirst.clear();
  }
}

function same(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = a.length - 1; i > 0; i--) if (a[i] !== b[i]) return false;
  return true;
}
