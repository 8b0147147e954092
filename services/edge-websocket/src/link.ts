import type { Socket } from 'node:net';
import type { CloseCode, Wire } from '@pushfleet/edge';
import type { TimerWheel } from '@pushfleet/runtime';
import { closeFrame, frame, opcodes } from './frames.ts';
import type { Deflate } from './handshake.ts';
import { PerMessageDeflate, Receiver } from './ws-parts.ts';

/** What a client did that ends the connection. */
export interface Fault {
  readonly wsCode: 1002 | 1007 | 1008 | 1009;
  readonly message: string;
}

/** Whom a link tells what happens on it. */
export interface Peer {
  /** @param data is valid UTF-8 where it is not binary; a part of a larger buffer: what is kept is to be copied */
  message(data: Buffer, binary: boolean): void;
  /** So many bytes came: the client is there. */
  heard(bytes: number): void;
  /** The socket takes bytes again. */
  drained(): void;
  /** The client broke the protocol. Ends the connection, and says so. */
  fault(fault: Fault): void;
  /** Ends the connection, and says why. */
  end(code: CloseCode): void;
  /** The client closed with this code, or the connection broke: undefined. Nothing comes afterwards. */
  gone(wsCode: number | undefined): void;
}

export interface LinkOptions {
  /** Largest message, inflated, in bytes. */
  readonly messageBytes: number;
  /** Messages and control frames that are read a second. */
  readonly messageRate: number;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

// How long a client may take to receive the last bytes and close.
const lingerMs = 5_000;
/** Why nothing is read at this moment. */
const holds = { inflating: 1, rate: 2, answers: 4 } as const;
const smallestPart = 64;
const spareParts = 1_000;

/**
 * A WebSocket connection on a bare socket: what comes goes through `ws`' Receiver, what goes out is frames that were
 * made elsewhere, once for all connections. `ws`' own WebSocket would frame each message for each connection again.
 */
export class Link implements Wire {
  /** Whoever is behind the connection at this moment. */
  peer: Peer = nobody;
  /** Called once, when the socket is gone. */
  onClosed: () => void = () => {};
  readonly #o: LinkOptions;
  readonly #socket: Socket;
  readonly #receiver: LinkReceiver;
  readonly #deflate: PerMessageDeflate | undefined;
  #holds = 0;
  /** Messages that may be read now, and when that was counted. */
  #tokens: number;
  #counted: number;
  #closing = false;

  constructor(socket: Socket, deflate: Deflate | undefined, o: LinkOptions) {
    this.#o = o;
    this.#socket = socket;
    this.#deflate = deflate?.inflater;
    this.#tokens = o.messageRate;
    this.#counted = o.now();
    this.#receiver = new LinkReceiver(this, deflate?.inflater, o.messageBytes);
    socket.on('drain', () => this.#drained());
    // A client that ends its half without a close frame has left.
    socket.on('end', () => socket.destroy());
    socket.on('close', () => this.#closed());
  }

  /** Takes what came behind the handshake's head, and begins to read for this peer. */
  begin(peer: Peer, head: Buffer): void {
    this.peer = peer;
    if (head.length > 0) this.#read(head);
    this.#socket.on('data', (bytes) => this.#read(bytes));
    if (this.#holds === 0) this.#socket.resume();
    else this.#socket.pause();
  }

  write(bytes: Buffer): boolean {
    return this.#socket.write(bytes);
  }

  /** Reads nothing until the socket takes bytes again: a client that reads no answers gets to ask for no more. */
  holdReading(): void {
    this.#hold(holds.answers);
  }

  /** Writes the last bytes, the close frame at their end, and waits a while for the client to close. */
  end(bytes: Buffer): void {
    this.#closing = true;
    this.#socket.end(bytes);
    // A client that was held back could not say that it closes.
    this.#holds = 0;
    this.#socket.resume();
    this.#o.wheel.after(lingerMs, () => this.#socket.destroy());
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    if (this.#receiver.destroyed || this.#receiver.writableEnded) return;
    if (!this.#receiver.write(bytes)) this.#hold(holds.inflating);
    this.peer.heard(bytes.length);
  }

  message(data: Buffer, binary: boolean): void {
    // What inflates holds 40 KB; without context takeover it is of no use to the next message.
    this.#deflate?.cleanup();
    if (this.#closing) return;
    this.#count();
    this.peer.message(data, binary);
  }

  ping(data: Buffer): void {
    if (this.#closing) return;
    this.#count();
    if (!this.write(frame(opcodes.pong, [data]))) this.#hold(holds.answers);
  }

  pong(): void {
    this.#count();
  }

  /** The client's close frame. */
  concluded(wsCode: number): void {
    if (this.#closing) return;
    // 1005 stands for a frame without a code, and is not to be sent.
    this.end(closeFrame(wsCode === 1005 ? undefined : wsCode));
    this.peer.gone(wsCode);
  }

  failed(error: Error): void {
    if (!this.#closing) this.peer.fault(faultOf(error));
  }

  inflated(): void {
    this.#release(holds.inflating);
  }

  #drained(): void {
    this.#release(holds.answers);
    this.peer.drained();
  }

  #closed(): void {
    this.#closing = true;
    this.#receiver.end();
    this.peer.gone(undefined);
    this.onClosed();
  }

  // Whoever sends faster than the rate is read later: nothing is refused, and nothing is lost.
  #count(): void {
    const { messageRate, now } = this.#o;
    if (--this.#tokens >= 0) return;
    const at = now();
    this.#tokens = Math.min(messageRate, this.#tokens + ((at - this.#counted) / 1_000) * messageRate);
    this.#counted = at;
    if (this.#tokens >= 0 || (this.#holds & holds.rate) !== 0) return;
    this.#hold(holds.rate);
    this.#o.wheel.after((-this.#tokens / messageRate) * 1_000, () => this.#release(holds.rate));
  }

  #hold(why: number): void {
    if (this.#closing) return;
    this.#holds |= why;
    this.#socket.pause();
  }

  #release(why: number): void {
    if ((this.#holds & why) === 0) return;
    this.#holds &= ~why;
    if (this.#holds === 0) this.#socket.resume();
  }
}

class LinkReceiver extends Receiver {
  readonly #link: Link;
  readonly #inflater: PerMessageDeflate | undefined;

  constructor(link: Link, inflater: PerMessageDeflate | undefined, messageBytes: number) {
    const parts = Math.ceil(messageBytes / smallestPart) + spareParts;
    super({
      isServer: true,
      extensions: inflater === undefined ? none : { [PerMessageDeflate.extensionName]: inflater },
      maxPayload: messageBytes,
      // Empty and tiny parts cost memory that no limit of bytes sees.
      maxFragments: parts,
      maxBufferedChunks: parts,
    });
    this.#link = link;
    this.#inflater = inflater;
  }

  // Instead of seven listeners: they would be a fifth of what an idle connection keeps.
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    switch (event) {
      case 'message':
        this.#link.message(args[0] as Buffer, args[1] as boolean);
        return true;
      case 'ping':
        this.#link.ping(args[0] as Buffer);
        return true;
      case 'pong':
        this.#link.pong();
        return true;
      case 'conclude':
        this.#link.concluded(args[0] as number);
        return true;
      case 'drain':
        this.#link.inflated();
        return true;
      case 'finish':
        this.#inflater?.cleanup();
        return true;
      case 'error':
        this.#inflater?.cleanup();
        this.#link.failed(args[0] as Error);
        return true;
      default:
        return super.emit(event, ...args);
    }
  }
}

const none = {};

const nobody: Peer = { message() {}, heard() {}, drained() {}, fault() {}, end() {}, gone() {} };

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
