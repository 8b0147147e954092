interface Run {
  readonly frames: readonly Buffer[];
  readonly bytes: Buffer;
}

// Connections that were slower have runs of their own; beyond this many they are not worth remembering.
const remembered = 64;

/**
 * Several frames as one buffer, for one system call: it is what a delivery costs most. A thousand connections
 * with the same filters have the same frames pending, and frames are shared, so the buffer that was made for the
 * first connection serves them all. It is forgotten at the end of the event loop's turn.
 */
export class Runs {
  readonly #byFirst = new Map<Buffer, Run>();

  bytes(frames: readonly Buffer[]): Buffer {
    const first = frames[0] as Buffer;
    if (frames.length === 1) return first;
    const known = this.#byFirst.get(first);
    if (known !== undefined && same(known.frames, frames)) return known.bytes;
    const bytes = Buffer.concat(frames);
    if (this.#byFirst.size === 0) setImmediate(this.#forget);
    if (this.#byFirst.size < remembered) this.#byFirst.set(first, { frames, bytes });
    return bytes;
  }

  readonly #forget = (): void => this.#byFirst.clear();
}

function same(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = a.length - 1; i > 0; i--) if (a[i] !== b[i]) return false;
  return true;
}
