/** Section 1.5.5. */
export const largestVarint = 268_435_455;
const largestText = 65_535;
/** Bytes of a fixed header at most: one, and a remaining length of four. */
const headBytes = 5;

/** Bytes that a variable byte integer takes. */
export const varintBytes = (value: number): number =>
  value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4;

/** Writes a variable byte integer and returns the place behind it. */
export function putVarint(target: Buffer, at: number, value: number): number {
  let left = value;
  let end = at;
  while (left >= 128) {
    target[end++] = (left & 0x7f) | 0x80;
    left >>>= 7;
  }
  target[end++] = left;
  return end;
}

/** Writes fields into memory of its own that is used again for the next packet. */
export class Writer {
  #bytes = Buffer.allocUnsafe(1_024);
  #at = headBytes;

  begin(): void {
    this.#at = headBytes;
  }

  /** Bytes since `begin`. */
  get length(): number {
    return this.#at - headBytes;
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  u16(value: number): void {
    this.#room(2);
    this.#at = this.#bytes.writeUInt16BE(value, this.#at);
  }

  u32(value: number): void {
    this.#room(4);
    this.#at = this.#bytes.writeUInt32BE(value, this.#at);
  }

  /** @throws RangeError above 268,435,455 */
  varint(value: number): void {
    if (value > largestVarint) throw new RangeError(`a variable byte integer cannot be ${value}`);
    this.#room(4);
    this.#at = putVarint(this.#bytes, this.#at, value);
  }

  /** @throws RangeError for text of more than 65,535 bytes */
  text(value: string): void {
    // A UTF-16 unit takes at most three bytes.
    this.#room(2 + 3 * value.length);
    const bytes = this.#bytes.write(value, this.#at + 2);
    if (bytes > largestText) throw new RangeError(`a string cannot have ${bytes} bytes`);
    this.#bytes.writeUInt16BE(bytes, this.#at);
    this.#at += 2 + bytes;
  }

  /** @throws RangeError for more than 65,535 bytes */
  binary(value: Uint8Array): void {
    if (value.length > largestText) throw new RangeError(`binary data cannot have ${value.length} bytes`);
    this.u16(value.length);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** Puts the length of what `write` writes before it, as properties have it. */
  measured(write: () => void): void {
    const start = this.#at;
    write();
    const length = this.#at - start;
    const shift = varintBytes(length);
    this.#room(shift);
    this.#bytes.copyWithin(start + shift, start, this.#at);
    putVarint(this.#bytes, start, length);
    this.#at += shift;
  }

  /** What was written since `begin`, in memory of its own. */
  body(): Buffer {
    return Buffer.from(this.#bytes.subarray(headBytes, this.#at));
  }

  /**
   * What was written since `begin` as a packet, in memory of its own.
   *
   * @param first type and flags
   */
  packet(first: number): Buffer {
    const { length } = this;
    const start = headBytes - 1 - varintBytes(length);
    this.#bytes[start] = first;
    putVarint(this.#bytes, start + 1, length);
    return Buffer.from(this.#bytes.subarray(start, this.#at));
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + bytes));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }
}
