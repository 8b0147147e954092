import { isUtf8 } from 'node:buffer';
import { type FilterName, filterFault, hasDisallowed, splitShare } from './names.ts';
import { type PropertyAt, type Rule, type Version, Violation } from './violation.ts';

const nul = 1;
const control = 2;
const beyondAscii = 4;
const wildcard = 8;

/** What a byte of text has to be looked at for. No byte of a longer character is an ASCII one. */
const kinds = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte === 0) return nul | control;
  if (byte >= 0x80) return beyondAscii;
  if (byte === 0x2b || byte === 0x23) return wildcard;
  return byte < 0x20 || byte === 0x7f ? control : 0;
});

/** What one packet may take. */
export interface DecoderLimits {
  /** The Maximum Packet Size of this server: bytes of a whole packet, its fixed header included. */
  readonly packetBytes: number;
  /** Topic filters of one SUBSCRIBE or UNSUBSCRIBE. */
  readonly filters: number;
  /** User properties of one packet; a will has as many again. */
  readonly userProperties: number;
}

const nothing: Buffer = Buffer.alloc(0);

/** Reads the fields of one packet after another. Every read stays within the packet, or throws a Violation. */
export class Reader {
  /** What the client speaks, once its CONNECT has said so. */
  version: Version | undefined;
  /** The rule that was broken. */
  broken: Violation | undefined;
  /** Nobody is told of what is wrong with what is being read. */
  quiet = false;
  #bytes = nothing;
  #at = 0;
  #end = 0;
  // What the text that was read last is made of.
  #kinds = 0;

  /** Goes on with the bytes from `start` to `end`: a packet without its fixed header. */
  begin(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Lets go of the bytes. */
  release(): void {
    this.begin(nothing, 0, 0);
  }

  /** Bytes that are not read yet. */
  get left(): number {
    return this.#end - this.#at;
  }

  refuse(rule: Rule, property?: PropertyAt): never {
    this.broken = new Violation(rule, this.version, property, this.quiet);
    throw this.broken;
  }

  /** Has `read` read the next `length` bytes, and no others. */
  within<T>(length: number, read: () => T): T {
    const end = this.#end;
    this.#end = this.#at + this.#claim(length);
    const result = read();
    this.#end = end;
    return result;
  }

  /** Makes sure of the next `length` bytes. */
  #claim(length: number): number {
    if (length > this.#end - this.#at) this.refuse('truncated');
    return length;
  }

  u8(): number {
    this.#claim(1);
    return this.#bytes[this.#at++] as number;
  }

  u16(): number {
    this.#claim(2);
    const value = this.#bytes.readUInt16BE(this.#at);
    this.#at += 2;
    return value;
  }

  u32(): number {
    this.#claim(4);
    const value = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  /** Section 1.5.5: seven bits a byte, the lowest first, in as few bytes as will do. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.u8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) this.refuse('integer_padded');
        return value;
      }
    }
    return this.refuse('integer_long');
  }

  /** Section 2.2.1. */
  packetId(): number {
    const id = this.u16();
    if (id === 0) this.refuse('packet_id');
    return id;
  }

  /** Section 1.5.6, as a view. */
  binary(): Buffer {
    return this.#view(this.u16());
  }

  /** What is left of the packet, as a view. */
  rest(): Buffer {
    return this.#view(this.left);
  }

  #view(length: number): Buffer {
    const start = this.#at;
    this.#at += this.#claim(length);
    return this.#bytes.subarray(start, this.#at);
  }

  /** Section 1.5.4. @param broken the rule that text breaks which is none */
  text(broken?: Rule): string {
    const length = this.#claim(this.u16());
    const bytes = this.#bytes;
    const start = this.#at;
    const end = start + length;
    let found = 0;
    for (let at = start; at < end; at++) found |= kinds[bytes[at] as number] as number;
    this.#at = end;
    this.#kinds = found;
    if ((found & nul) !== 0) this.refuse(broken ?? 'text_nul');
    if ((found & beyondAscii) === 0) return bytes.toString('latin1', start, end);
    if (!isUtf8(bytes.subarray(start, end))) this.refuse(broken ?? 'text_encoding');
    return bytes.toString('utf8', start, end);
  }

  /** Text that names something, and so holds no control characters; section 1.5.4 leaves that to the receiver. */
  name(broken?: Rule): string {
    const text = this.text(broken);
    const bad = (this.#kinds & control) !== 0 || ((this.#kinds & beyondAscii) !== 0 && hasDisallowed(text));
    if (bad) this.refuse(broken ?? 'text_control');
    return text;
  }

  /** A topic name, or the empty one that stands for a topic alias. */
  topicOrNone(): string {
    const topic = this.name();
    if ((this.#kinds & wildcard) !== 0) this.refuse('name_wildcard');
    return topic;
  }

  /** Section 4.7. */
  topic(): string {
    const topic = this.topicOrNone();
    if (topic === '') this.refuse('name_empty');
    return topic;
  }

  /** Sections 4.7 and 4.8.2. */
  filter(): FilterName {
    const split = splitShare(this.name());
    if (split === undefined) return this.refuse('share_name');
    const fault = filterFault(split.filter);
    if (fault !== undefined) this.refuse(fault);
    return split;
  }
}
