import type { Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import type { TimerWheel } from '@pushfleet/runtime';
import type { RawData, WebSocket } from 'ws';
import type { Caller, Identity } from './caller.ts';
import type { Exchange } from './exchange.ts';
import { parseMessages } from './message.ts';
import type { Way } from './poll.ts';
import { errorChannel, no } from './reply.ts';
import type { Session } from './session.ts';

export interface LinkOptions {
  readonly exchange: Pick<Exchange, 'answer'>;
  readonly messages: number;
  /** How long a client may go without a session, in milliseconds, however much it says. */
  readonly beginMs: number;
  /** How long one with a session may be silent, in milliseconds. */
  readonly silenceMs: number;
  readonly who: Pick<Identity, 'visitor' | 'stranger'>;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** It has a session from now on, or none any more; at first none. */
  onKnown(known: boolean): void;
}

/** Frames that wait for those before them; with as many, nothing is read from the socket. */
const mostWaiting = 16;

/**
 * A WebSocket and what its client says on it, one frame after the other. While the socket takes no bytes nothing is
 * read and nothing is answered: a client that reads no answers gets to ask for no more, falls silent by that, and is cut
 * as one that is silent.
 */
export class Link {
  readonly #socket: WebSocket;
  /** What is below it. */
  readonly #tcp: Pick<Socket, 'writableNeedDrain'>;
  readonly #o: LinkOptions;
  readonly #frames: string[] = [];
  /** Those whose messages go here. */
  readonly #sessions = new Set<Session>();
  readonly #caller: Caller;
  #busy = false;
  /** Goes on with what waits for the socket to take bytes. */
  #roomy: () => void = () => {};
  #cancelTimer: () => void = () => {};

  constructor(socket: WebSocket, tcp: Pick<Socket, 'on' | 'writableNeedDrain'>, options: LinkOptions) {
    this.#socket = socket;
    this.#tcp = tcp;
    this.#o = options;
    const way: Way = {
      push: (texts) => this.#send(texts),
      // Behind the answer to the connect that waited.
      close: () => setImmediate(() => this.restart()),
    };
    const { who } = options;
    this.#caller = {
      ...{ way, trace: {}, receipt: { broken: false }, separate: true },
      get visitor() {
        return who.visitor;
      },
      get stranger() {
        return who.stranger;
      },
      get gone() {
        return socket.readyState !== socket.OPEN;
      },
      onSession: (session) => {
        this.#sessions.add(session);
        if (this.#sessions.size === 1) this.#turn(true);
      },
    };
    this.#arm(options.beginMs);
    socket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    // `ws` has answered it.
    socket.on('ping', () => this.#balance());
    tcp.on('drain', () => {
      this.#balance();
      this.#roomy();
    });
    // A reset, a frame too long or not UTF-8: `ws` answers with the close code of RFC 6455, and `close` follows.
    socket.on('error', () => {});
    socket.once('close', () => this.#closed(way));
  }

  /** Asks its client to come back: RFC 6455 section 7.4, 1012 Service Restart. */
  restart(): void {
    this.#socket.close(1012);
  }

  cut(): void {
    this.#socket.terminate();
  }

  #closed(way: Way): void {
    this.#cancelTimer();
    this.#frames.length = 0;
    this.#roomy();
    for (const session of this.#sessions) session.gone(way);
    this.#sessions.clear();
  }

  /** Its client is a stranger, or no longer one. */
  #turn(known: boolean): void {
    this.#arm(known ? this.#o.silenceMs : this.#o.beginMs);
    this.#o.onKnown(known);
  }

  #arm(ms: number): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#o.wheel.after(ms, () => this.cut());
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.#sessions.size > 0) this.#arm(this.#o.silenceMs);
    if (isBinary) {
      this.#socket.close(1003, 'Bayeux messages are text.');
      return;
    }
    this.#frames.push(data.toString());
    this.#balance();
    if (!this.#busy) void this.#work();
  }

  get #full(): boolean {
    return this.#tcp.writableNeedDrain;
  }

  /** Reads as long as there is room for what is asked, and for what is answered. */
  #balance(): void {
    if (this.#full || this.#frames.length >= mostWaiting) this.#socket.pause();
    else if (this.#frames.length < mostWaiting / 2) this.#socket.resume();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (;;) {
      if (this.#full) await this.#room();
      const text = this.#frames.shift();
      if (text === undefined) break;
      this.#balance();
      await this.#frame(text);
    }
    this.#busy = false;
  }

  /** Until the socket takes bytes again, or is closed. */
  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#roomy = resolve;
    });
  }

  async #frame(text: string): Promise<void> {
    try {
      const messages = parseMessages([text], this.#o.messages);
      const { now, later } = await this.#o.exchange.answer(messages, this.#caller);
      // An empty array is how faye's client keeps the connection alive, and it is answered by one.
      if (now.length > 0 || messages.length === 0) this.#send(now);
      void later?.then((texts) => this.#send(texts));
    } catch (thrown) {
      this.#send([JSON.stringify(no({ channel: errorChannel }, PushfleetError.from(thrown)))]);
    }
    this.#forget();
  }

  /** Sessions that have ended, or whose client connects elsewhere. */
  #forget(): void {
    const { size } = this.#sessions;
    for (const session of this.#sessions) {
      if (session.ended || session.isElsewhere(this.#caller.way)) this.#sessions.delete(session);
    }
    if (size > 0 && this.#sessions.size === 0) this.#turn(false);
  }

  #send(texts: readonly string[]): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(`[${texts.join(',')}]`);
    this.#balance();
  }
}
