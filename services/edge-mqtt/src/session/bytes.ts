// Numbers and texts in few bytes, for what is kept of sessions.

/** What was kept is not as it is written here. */
export class Unreadable extends Error {}

/** Gathers what is to be kept. */
export class ByteSink {
  readonly #bytes: number[] = [];

  get bytes(): Buffer {
    return Buffer.from(this.#bytes);
  }

  byte(value: number): void {
    this.#bytes.push(value);
  }

  u16(value: number): void {
    this.#bytes.push(value >> 8, value & 0xff);
  }

  /** A whole number from 0 to 2^53 - 1: seven bits in each byte, the lowest first. */
  number(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) this.#bytes.push((rest % 0x80) | 0x80);
    this.#bytes.push(rest);
  }

  /** A whole number of either sign, of less than 2^52. */
  signed(value: number): void {
    this.number(value < 0 ? -value * 2 - 1 : value * 2);
  }

  text(value: string): void {
    this.raw(Buffer.from(value));
  }

  raw(value: Uint8Array): void {
    this.number(value.length);
    for (const byte of value) this.#bytes.push(byte);
  }
}

/** Reads it again. All methods throw Unreadable where it was not written so. */
export class ByteSource {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Unreadable('It ends too early.');
    return byte;
  }

  u16(): number {
    return (this.byte() << 8) | this.byte();
  }

  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (!Number.isSafeInteger(value)) throw new Unreadable('A number is too large.');
      if (byte < 0x80) return value;
    }
  }

  signed(): number {
    const value = this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  text(): string {
    return Buffer.from(this.raw()).toString();
  }

  raw(): Uint8Array {
    const length = this.number();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Unreadable('It ends too early.');
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}
