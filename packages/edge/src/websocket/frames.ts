/** RFC 6455 section 11.8, those that this server sends. */
export const opcodes = { text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;
export type Opcode = (typeof opcodes)[keyof typeof opcodes];

const final = 0x80;
/** RSV1 of the first frame: the message is deflated (RFC 7692 section 6). */
const compressed = 0x40;

/** Bytes of a frame's head; a server's has no mask (RFC 6455 section 5.1), so one frame serves every connection. */
const headBytes = (length: number): number => (length < 126 ? 2 : length < 65_536 ? 4 : 10);

/** A frame whose payload of `length` bytes is still to be written, from the number returned beside it. */
function begin(first: number, length: number, room = length): { bytes: Buffer; at: number } {
  const at = headBytes(length);
  const bytes = Buffer.allocUnsafe(at + room);
  bytes[0] = first;
  if (at === 2) bytes[1] = length;
  else if (at === 4) {
    bytes[1] = 126;
    bytes.writeUInt16BE(length, 2);
  } else {
    bytes[1] = 127;
    bytes.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
    bytes.writeUInt32BE(length >>> 0, 6);
  }
  return { bytes, at };
}

/** A message, or a control frame of at most 125 bytes, as one unmasked frame; its payload in pieces. */
export function frame(opcode: Opcode, pieces: readonly Uint8Array[], deflated = false): Buffer {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const { bytes, at } = begin(final | (deflated ? compressed : 0) | opcode, length);
  let end = at;
  for (const piece of pieces) {
    bytes.set(piece, end);
    end += piece.length;
  }
  return bytes;
}

/** The head of a message whose payload is written behind it, as it is. */
export const frameHead = (opcode: Opcode, length: number): Buffer => begin(final | opcode, length, 0).bytes;

/** A text message that is not deflated. */
export function textFrame(text: string): Buffer {
  const { bytes, at } = begin(final | opcodes.text, Buffer.byteLength(text));
  bytes.write(text, at);
  return bytes;
}

const reasonBytes = 123;

/**
 * A close frame (RFC 6455 section 5.5.1). Without a code it is empty, as an answer to one that is.
 *
 * @param reason for people; what is longer than 123 bytes is cut between two characters
 */
export function closeFrame(code?: number, reason = ''): Buffer {
  if (code === undefined) return frame(opcodes.close, []);
  const payload = Buffer.alloc(2 + reasonBytes);
  payload.writeUInt16BE(code);
  // `write` writes whole characters only.
  return frame(opcodes.close, [payload.subarray(0, 2 + payload.write(reason, 2))]);
}

/** The one ping of all connections: it has no payload, so that its bytes are shared. */
export const pingFrame = frame(opcodes.ping, []);
