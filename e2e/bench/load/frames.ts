// As much of RFC 6455 as a client needs that asks for no extension.

const opcodes = { continuation: 0, text: 1, binary: 2, pong: 10 } as const;
const lengthOf16Bits = 126;
const lengthOf64Bits = 127;
const controlBits = 0x08;
// Section 5.3 wants an unpredictable one against proxies that cache; on loopback there is none.
const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

interface Frame {
  readonly final: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
  /** Where the next frame begins. */
  readonly end: number;
}

/** A text message of a client, in one masked frame (sections 5.2 and 5.3). */
export const clientText = (text: string): Buffer => clientFrame(opcodes.text, Buffer.from(text));

/** The answer to a ping. */
export const clientPong = (payload: Buffer): Buffer => clientFrame(opcodes.pong, payload);

function clientFrame(opcode: number, payload: Buffer): Buffer {
  const short = payload.length < lengthOf16Bits;
  const head = Buffer.alloc(short ? 2 : 4);
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | (short ? payload.length : lengthOf16Bits);
  if (!short) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ (mask[i % mask.length] as number))]);
}

/**
 * The frame of a server that begins at `at`.
 *
 * @returns undefined where it is not whole yet
 * @throws Error where it is masked or has bits of an extension
 */
export function serverFrame(bytes: Buffer, at: number): Frame | undefined {
  if (at + 2 > bytes.length) return undefined;
  const [first, second] = [bytes[at] as number, bytes[at + 1] as number];
  if ((first & 0x70) !== 0 || second >= 0x80) {
    throw new Error(`a frame begins with ${first.toString(16)} ${second.toString(16)}: masked or extended`);
  }
  const extended = second < lengthOf16Bits ? 0 : second < lengthOf64Bits ? 2 : 8;
  const begin = at + 2 + extended;
  if (begin > bytes.length) return undefined;
  const length =
    extended === 0 ? second : bytes.readUIntBE(begin - Math.min(extended, 6), Math.min(extended, 6));
  const end = begin + length;
  if (end > bytes.length) return undefined;
  return { final: first >= 0x80, opcode: first & 0x0f, payload: bytes.subarray(begin, end), end };
}

/** The whole text and binary messages of a server, fragments joined; control frames may stand between them (section 5.4). */
export function* serverMessages(bytes: Buffer): Generator<Buffer, void> {
  let fragments: Buffer[] = [];
  for (let at = 0; ; ) {
    const frame = serverFrame(bytes, at);
    if (frame === undefined) return;
    at = frame.end;
    if ((frame.opcode & controlBits) !== 0) continue;
    fragments.push(frame.payload);
    if (!frame.final) continue;
    yield Buffer.concat(fragments);
    fragments = [];
  }
}
