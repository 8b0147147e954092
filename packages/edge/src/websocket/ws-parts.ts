import type { Writable } from 'node:stream';
import { extension, PerMessageDeflate, Receiver, subprotocol } from 'ws';

// The parts of `ws` that edges over WebSocket are made of. The package exports them and its own WebSocket is made of
// them, but @types/ws has only the latter.

declare module 'ws' {
  /** Reads frames: `message` (bytes, whether binary), `ping`, `pong`, `conclude` (1005 where there was no code). */
  class Receiver extends Writable {
    constructor(options: ReceiverOptions);
  }

  interface ReceiverOptions {
    readonly isServer: boolean;
    readonly extensions: Readonly<Record<string, PerMessageDeflate>>;
    /** Largest message, inflated, in bytes. */
    readonly maxPayload: number;
    readonly maxFragments: number;
    /** Most pieces, as they came off the network, of a frame that has not ended. */
    readonly maxBufferedChunks: number;
  }

  /** RFC 7692 of one connection. */
  class PerMessageDeflate {
    static readonly extensionName: string;
    constructor(options: {
      readonly isServer: boolean;
      readonly maxPayload: number;
      readonly serverNoContextTakeover: boolean;
      readonly clientNoContextTakeover: boolean;
    });
    /** @throws where no offer can be accepted */
    accept(offers: readonly Offer[]): Readonly<Record<string, number | true>>;
    /** Frees what inflates; the next message gets a new one. */
    cleanup(): void;
  }

  type Offer = Record<string, readonly (string | true)[]>;

  const extension: {
    /** @throws SyntaxError */
    parse(header: string): Record<string, Offer[]>;
    format(extensions: Readonly<Record<string, readonly object[]>>): string;
  };

  const subprotocol: {
    /** @throws SyntaxError */
    parse(header: string): Set<string>;
  };
}

export { extension, PerMessageDeflate, Receiver, subprotocol };
