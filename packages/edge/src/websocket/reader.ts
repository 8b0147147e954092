import { PerMessageDeflate, Receiver } from './ws-parts.ts';

/** What a client did that ends the connection. */
export interface Fault {
  readonly wsCode: 1002 | 1007 | 1008 | 1009;
  readonly message: string;
}

/** Whom a reader tells what came. */
export interface FrameTaker {
  /** @param data is valid UTF-8 where it is not binary; a part of a larger buffer: what is kept is to be copied */
  message(data: Buffer, binary: boolean): void;
  ping(data: Buffer): void;
  pong(): void;
  /** The client's close frame; 1005 stands for one without a code. */
  concluded(wsCode: number): void;
  failed(fault: Fault): void;
  /** Takes bytes again. */
  inflated(): void;
}

const smallestPart = 64;
const spareParts = 1_000;

/** Reads frames (RFC 6455 section 5): bytes are written to it, messages come out. */
export class FrameReader extends Receiver {
  readonly #taker: FrameTaker;
  readonly #inflater: PerMessageDeflate | undefined;

  /** @param messageBytes the largest message, inflated */
  constructor(taker: FrameTaker, inflater: PerMessageDeflate | undefined, messageBytes: number) {
    const parts = Math.ceil(messageBytes / smallestPart) + spareParts;
    super({
      isServer: true,
      extensions: inflater === undefined ? none : { [PerMessageDeflate.extensionName]: inflater },
      maxPayload: messageBytes,
      // Empty and tiny parts cost memory that no limit of bytes sees.
      maxFragments: parts,
      maxBufferedChunks: parts,
    });
    this.#taker = taker;
    this.#inflater = inflater;
  }

  // Instead of seven listeners: they would be a fifth of what an idle connection keeps.
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    switch (event) {
      case 'message':
        this.#taker.message(args[0] as Buffer, args[1] as boolean);
        return true;
      case 'ping':
        this.#taker.ping(args[0] as Buffer);
        return true;
      case 'pong':
        this.#taker.pong();
        return true;
      case 'conclude':
        this.#taker.concluded(args[0] as number);
        return true;
      case 'drain':
        this.#taker.inflated();
        return true;
      case 'finish':
        this.#inflater?.cleanup();
        return true;
      case 'error':
        this.#inflater?.cleanup();
        this.#taker.failed(faultOf(args[0] as Error));
        return true;
      default:
        return super.emit(event, ...args);
    }
  }
}

const none = {};

const wsCodes: Readonly<Record<string, Fault['wsCode']>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
};

/** What the Receiver says, else zlib: the message was not deflated as its frame says. */
function faultOf(error: Error & { readonly code?: string }): Fault {
  const { code = '', message } = error;
  return { wsCode: wsCodes[code] ?? (code.startsWith('WS_ERR_') ? 1002 : 1007), message: `${message}.` };
}
