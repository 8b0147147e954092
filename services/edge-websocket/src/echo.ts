import type { CloseCode } from '@pushfleet/edge';
import { type Agreement, closeFrame, type Fault, frame, opcodes } from '@pushfleet/edge/websocket';
import { wsCode } from './close-code.ts';
import { deflatedFrame } from './encoding.ts';
import type { Link, Peer } from './link.ts';

/** The subprotocol that conformance suites speak with. */
export const echoProtocol = 'pushfleet.echo';

/** Sends every message back, compressed where that was agreed on. */
export class Echo implements Peer {
  readonly #link: Pick<Link, 'write' | 'holdReading' | 'end'>;
  readonly #deflate: Agreement['deflate'];

  constructor(link: Pick<Link, 'write' | 'holdReading' | 'end'>, deflate: Agreement['deflate']) {
    this.#link = link;
    this.#deflate = deflate;
  }

  message(data: Buffer, binary: boolean): void {
    const message = { opcode: binary ? opcodes.binary : opcodes.text, pieces: [data] };
    const bytes =
      this.#deflate === undefined
        ? frame(message.opcode, message.pieces)
        : deflatedFrame(message, this.#deflate.windowBits, 0);
    if (!this.#link.write(bytes)) this.#link.holdReading();
  }

  heard(): void {}

  drained(): void {}

  fault({ wsCode, message }: Fault): void {
    this.#link.end(closeFrame(wsCode, message));
  }

  gone(): void {}

  end(code: CloseCode): void {
    this.#link.end(closeFrame(wsCode(code), code));
  }
}
