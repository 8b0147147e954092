import { Decoder } from './decoder.ts';
import type { ClientPacket } from './packet.ts';
import type { DecoderLimits } from './reader.ts';
import { Violation } from './violation.ts';

export const roomy: DecoderLimits = { packetBytes: 1_048_576, filters: 1_000, userProperties: 1_000 };

/** Limits that a test can reach. */
export const small: DecoderLimits = { packetBytes: 64, filters: 2, userProperties: 2 };

/** What a decoder made of the bytes of one connection. */
export interface Decoded {
  readonly packets: readonly ClientPacket[];
  readonly violation: Violation | undefined;
  readonly decoder: Decoder;
}

/** Decodes all chunks, up to the first violation. What is thrown otherwise goes through. */
export function decode(chunks: readonly Buffer[], limits: DecoderLimits = roomy): Decoded {
  const decoder = new Decoder(limits);
  const packets: ClientPacket[] = [];
  try {
    for (const chunk of chunks) {
      decoder.push(chunk);
      for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) packets.push(packet);
    }
  } catch (thrown) {
    if (!(thrown instanceof Violation)) throw thrown;
    return { packets, violation: thrown, decoder };
  }
  return { packets, violation: undefined, decoder };
}

/** CONNECT packets without anything that could be left out. */
export const connects = {
  3: Buffer.from('100f00064d514973647003020000000161', 'hex'),
  4: Buffer.from('100d00044d51545404020000000161', 'hex'),
  5: Buffer.from('100e00044d5154540502000000000161', 'hex'),
} as const;

/** Bytes from hex digits, with spaces, and text in single quotes. */
export function bytes(notation: string): Buffer {
  const parts = notation.match(/'[^']*'|[0-9a-fA-F]+/g) ?? [];
  return Buffer.concat(
    parts.map((part) => (part.startsWith("'") ? Buffer.from(part.slice(1, -1)) : Buffer.from(part, 'hex'))),
  );
}
