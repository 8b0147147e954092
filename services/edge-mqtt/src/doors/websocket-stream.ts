import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import {
  closeFrame,
  type Fault,
  FrameReader,
  type FrameTaker,
  frame,
  frameHead,
  opcodes,
} from '@pushfleet/edge/websocket';
import type { TimerWheel } from '@pushfleet/runtime';
import type { ByteStream } from './caller.ts';

export interface WebSocketStreamOptions {
  /** Largest message, in bytes. */
  readonly messageBytes: number;
  /** Frames that are read a second. */
  readonly frameRate: number;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

// How long a client may take to receive the last bytes and close.
const lingerMs = 5_000;
/** What is shorter is copied into its frame; what is longer is written behind a head. */
const copiedBytes = 4_096;
/** Why nothing is read at this moment. */
const holds = { reader: 1, pongs: 2, peer: 4, rate: 8 } as const;

/**
 * The bytes that travel in the binary messages of a WebSocket (MQTT 5 section 6). Packets know nothing of its frames: one
 * may come in several messages, and several in one ([MQTT-6.0.0-2]).
 */
export class WebSocketStream extends EventEmitter implements ByteStream, FrameTaker {
  readonly #o: WebSocketStreamOptions;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  #holds = 0;
  /** What came in the same bytes as what whoever reads stopped at, in its order. */
  #kept: (() => void)[] | undefined;
  #handing = false;
  /** Frames of this second, and which one it is. */
  #frames = 0;
  #second = 0;
  #ended = false;
  #closed = false;

  constructor(socket: Socket, o: WebSocketStreamOptions) {
    super();
    this.#o = o;
    this.#socket = socket;
    this.#reader = new FrameReader(this, undefined, o.messageBytes);
    socket.on('drain', () => this.#drained());
    // A client that ends its half without a close frame has left.
    socket.on('end', () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => this.#close());
  }

  /** Begins to read, with what came behind the handshake's head. */
  begin(first: Buffer): void {
    if (first.length > 0) this.#read(first);
    this.#socket.on('data', (bytes) => this.#read(bytes));
    if (this.#holds === 0) this.#socket.resume();
  }

  write(bytes: Buffer): boolean {
    if (this.#ended) return true;
    if (bytes.length < copiedBytes) return this.#socket.write(frame(opcodes.binary, [bytes]));
    this.#socket.cork();
    this.#socket.write(frameHead(opcodes.binary, bytes.length));
    const room = this.#socket.write(bytes);
    this.#socket.uncork();
    return room;
  }

  end(bytes: Buffer): void {
    const last = bytes.length > 0 ? [frame(opcodes.binary, [bytes])] : [];
    this.#end(Buffer.concat([...last, closeFrame(1000)]));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#hold(holds.peer);
  }

  resume(): void {
    this.#release(holds.peer);
  }

  message(data: Buffer, binary: boolean): void {
    if (!this.#counted()) return;
    // [MQTT-6.0.0-1]
    if (binary) this.#inTurn(() => this.emit('data', data));
    else this.#fail(1003, 'MQTT travels in binary frames.');
  }

  ping(data: Buffer): void {
    if (!this.#counted()) return;
    if (!this.#socket.write(frame(opcodes.pong, [data]))) this.#hold(holds.pongs);
  }

  pong(): void {
    this.#counted();
  }

  concluded(wsCode: number): void {
    this.#inTurn(() => {
      // 1005 stands for a frame without a code, and is not to be sent.
      this.#end(closeFrame(wsCode === 1005 ? undefined : wsCode));
      this.#close();
    });
  }

  failed({ wsCode, message }: Fault): void {
    this.#fail(wsCode, message);
  }

  inflated(): void {
    this.#release(holds.reader);
  }

  #read(bytes: Buffer): void {
    if (this.#reader.destroyed || this.#reader.writableEnded) return;
    if (!this.#reader.write(bytes)) this.#hold(holds.reader);
  }

  /** A paused socket brings no more bytes, but those that it brought may hold many messages. */
  #inTurn(hand: () => void): void {
    if (this.#kept === undefined && (this.#holds & holds.peer) === 0) hand();
    else {
      this.#kept ??= [];
      this.#kept.push(hand);
    }
  }

  /** Hands over what was kept, until whoever reads stops again. */
  #handOver(): void {
    if (this.#kept === undefined || this.#handing) return;
    this.#handing = true;
    const kept = this.#kept;
    let handed = 0;
    while (handed < kept.length && (this.#holds & holds.peer) === 0) kept[handed++]?.();
    this.#kept = handed < kept.length ? kept.slice(handed) : undefined;
    this.#handing = false;
  }

  /** Whether the frame is still of interest. Empty ones and pings are no packets, and cost as much. */
  #counted(): boolean {
    if (this.#ended) return false;
    const { frameRate, now, wheel } = this.#o;
    const second = Math.floor(now() / 1_000);
    this.#frames = second === this.#second ? this.#frames + 1 : 1;
    this.#second = second;
    if (this.#frames === frameRate) {
      this.#hold(holds.rate);
      wheel.after((second + 1) * 1_000 - now(), () => this.#release(holds.rate));
    }
    return true;
  }

  #fail(wsCode: number, why: string): void {
    this.#end(closeFrame(wsCode, why));
    this.#close();
  }

  /** Writes the last bytes, and waits a while for the client to close. */
  #end(bytes: Buffer): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.end(bytes);
    // A client that was held back could not say that it closes.
    this.#holds = 0;
    this.#socket.resume();
    this.#o.wheel.after(lingerMs, () => this.#socket.destroy());
  }

  #drained(): void {
    this.#release(holds.pongs);
    if (!this.#ended) this.emit('drain');
  }

  /** Whoever reads from it is told once, when nothing more comes: the socket may linger. */
  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ended = true;
    this.#reader.end();
    this.emit('close');
  }

  #hold(why: number): void {
    if (this.#ended) return;
    this.#holds |= why;
    this.#socket.pause();
  }

  #release(why: number): void {
    if ((this.#holds & why) === 0) return;
    this.#holds &= ~why;
    if (why === holds.peer) this.#handOver();
    if (this.#holds === 0) this.#socket.resume();
  }
}
