/** Where a packet lies; one object for all packets of a framer, good until the next one. */
export interface Frame {
  /** Type and flags (section 2.1.1). */
  readonly first: number;
  /** Variable header and payload are `bytes` from `start` to `end`. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** The remaining length took more bytes than it needs. */
  readonly padded: boolean;
}

/** What has to be said of a packet before any of it is kept. Both may throw. */
export interface Admission {
  /** @param first type and flags */
  first(first: number): void;
  /** @param bytes of the whole packet; undefined: more than its remaining length can say */
  size(bytes: number | undefined, padded: boolean): void;
}

const leastKept = 256;

/**
 * Cuts chunks into packets. A packet that lies within one chunk is not copied. One that does not is gathered in memory
 * that grows with what has come, never with what was announced, and doubles, so that each byte is copied a bounded
 * number of times however small the chunks are.
 */
export class Framer {
  readonly #admission: Admission;
  #chunk: Buffer = nothing;
  #at = 0;
  // The header under way: how many of its bytes are read, and what they said.
  #headBytes = 0;
  #first = 0;
  #length = 0;
  #padded = false;
  #headed = false;
  // The beginning of a packet whose end is in a later chunk.
  #kept: Buffer = nothing;
  #keptBytes = 0;
  readonly #frame = { first: 0, bytes: nothing, start: 0, end: 0, padded: false };

  constructor(admission: Admission) {
    this.#admission = admission;
  }

  /** Memory that a packet whose end has not come takes, in bytes. */
  get keptBytes(): number {
    return this.#kept.length;
  }

  /**
   * Takes the next bytes of the connection. They are not copied: they must not change while views of them are in use.
   *
   * @throws Error where there is more to read of the last ones
   */
  push(chunk: Buffer): void {
    if (this.#at < this.#chunk.length)
      throw new Error('a chunk is read to its end before the next one comes');
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next packet, undefined where it takes more bytes. */
  next(): Frame | undefined {
    if (!this.#headed && !this.#readHead()) return this.#exhausted();
    const length = this.#length;
    if (this.#keptBytes === 0 && this.#chunk.length - this.#at >= length) {
      const start = this.#at;
      this.#at += length;
      return this.#found(this.#chunk, start, this.#at);
    }
    if (!this.#gather(length)) return this.#exhausted();
    const bytes = this.#kept;
    this.#kept = nothing;
    this.#keptBytes = 0;
    return this.#found(bytes, 0, length);
  }

  /** Lets go of the chunk, which is read to its end. */
  #exhausted(): undefined {
    this.#chunk = nothing;
    this.#at = 0;
    this.#frame.bytes = nothing;
  }

  #found(bytes: Buffer, start: number, end: number): Frame {
    this.#headed = false;
    this.#headBytes = 0;
    const frame = this.#frame;
    frame.first = this.#first;
    frame.bytes = bytes;
    frame.start = start;
    frame.end = end;
    frame.padded = this.#padded;
    return frame;
  }

  #readHead(): boolean {
    while (this.#at < this.#chunk.length) {
      const byte = this.#chunk[this.#at++] as number;
      const index = this.#headBytes++;
      if (index === 0) {
        this.#admission.first(byte);
        this.#first = byte;
        this.#length = 0;
        continue;
      }
      this.#length |= (byte & 0x7f) << (7 * (index - 1));
      if (byte < 0x80) {
        this.#padded = byte === 0 && index > 1;
        this.#admission.size(1 + index + this.#length, this.#padded);
        this.#headed = true;
        return true;
      }
      if (index === 4) this.#admission.size(undefined, false);
    }
    return false;
  }

  /** Copies what has come of a packet; true: that is all of it. */
  #gather(length: number): boolean {
    const more = Math.min(length - this.#keptBytes, this.#chunk.length - this.#at);
    const wanted = this.#keptBytes + more;
    if (wanted > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.min(length, Math.max(wanted, 2 * this.#kept.length, leastKept)));
      this.#kept.copy(grown, 0, 0, this.#keptBytes);
      this.#kept = grown;
    }
    this.#chunk.copy(this.#kept, this.#keptBytes, this.#at, this.#at + more);
    this.#keptBytes = wanted;
    this.#at += more;
    return wanted === length;
  }
}

const nothing: Buffer = Buffer.alloc(0);
