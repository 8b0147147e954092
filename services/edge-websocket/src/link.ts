import type { Socket } from 'node:net';
import type { CloseCode, Wire } from '@pushfleet/edge';
import {
  closeFrame,
  type Deflate,
  type Fault,
  FrameReader,
  type FrameTaker,
  frame,
  opcodes,
} from '@pushfleet/edge/websocket';
import type { TimerWheel } from '@pushfleet/runtime';

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

/**
 * A WebSocket connection on a bare socket: what comes goes through `ws`' Receiver, what goes out is frames that were
 * made elsewhere, once for all connections. `ws`' own WebSocket would frame each message for each connection again.
 */
export class Link implements Wire, FrameTaker {
  /** Whoever is behind the connection at this moment. */
  peer: Peer = nobody;
  /** Called once, when the socket is gone. */
  onClosed: () => void = () => {};
  readonly #o: LinkOptions;
  readonly #socket: Socket;
  readonly #receiver: FrameReader;
  readonly #deflate: Deflate['inflater'] | undefined;
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
    this.#receiver = new FrameReader(this, deflate?.inflater, o.messageBytes);
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

  failed(fault: Fault): void {
    if (!this.#closing) this.peer.fault(fault);
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

const nobody: Peer = { message() {}, heard() {}, drained() {}, fault() {}, end() {}, gone() {} };
