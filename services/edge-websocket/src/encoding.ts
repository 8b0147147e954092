import { constants, deflateRawSync } from 'node:zlib';
import type { Encode } from '@pushfleet/edge';
import type { Deflate } from '@pushfleet/edge/websocket';
import { frame, textFrame } from '@pushfleet/edge/websocket';
import type { Encoder } from '@pushfleet/hub';
import { gap, type Message, publicationMessage } from './codec.ts';

/**
 * How publications become frames: one encoder for each form of the bytes, so that connections of the same form share
 * what was encoded, and compressed, once.
 */
export class Encodings {
  readonly #plain: Encode = encodeBy(({ opcode, pieces }) => frame(opcode, pieces));
  /** By the window that the client inflates with. */
  readonly #deflated = new Map<number, Encode>();
  readonly #deflateBytes: number;

  /** @param deflateBytes the smallest message that is worth compressing */
  constructor(deflateBytes: number) {
    this.#deflateBytes = deflateBytes;
  }

  of(deflate: Pick<Deflate, 'windowBits'> | undefined): Encode {
    if (deflate === undefined) return this.#plain;
    const { windowBits } = deflate;
    let encode = this.#deflated.get(windowBits);
    if (encode === undefined) {
      encode = encodeBy((message) => deflatedFrame(message, windowBits, this.#deflateBytes));
      this.#deflated.set(windowBits, encode);
    }
    return encode;
  }
}

function encodeBy(toFrame: (message: Message) => Buffer): Encode {
  const encoder: Encoder<Buffer> = (delivery) => toFrame(publicationMessage(delivery));
  return (item) =>
    item.kind === 'publication' ? item.value.encoded(encoder) : textFrame(gap(item.from, item.to));
}

// RFC 7692 section 7.2.1: an empty block ends the message, and its last four bytes are left out.
const trailerBytes = 4;

/**
 * The message as a frame, deflated where that makes it smaller. Nothing of earlier messages is used
 * (`server_no_context_takeover`), so the bytes are good for every connection with a window of this size or more.
 *
 * @param windowBits 9 to 15
 */
export function deflatedFrame(message: Message, windowBits: number, leastBytes: number): Buffer {
  const { opcode, pieces } = message;
  let length = 0;
  for (const piece of pieces) length += piece.length;
  if (length < leastBytes) return frame(opcode, pieces);
  const payload = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
  const deflated = deflateRawSync(payload, {
    windowBits,
    level: constants.Z_BEST_SPEED,
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  const bytes = deflated.subarray(0, deflated.length - trailerBytes);
  return bytes.length < length ? frame(opcode, [bytes], true) : frame(opcode, pieces);
}
