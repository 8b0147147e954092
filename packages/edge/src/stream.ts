import { type Cursor, PushfleetError, type TopicFilter } from '@pushfleet/core';
import type { CloseReason, Hub } from '@pushfleet/hub';
import type { Grant, TimerWheel } from '@pushfleet/runtime';
import { brokenRetry, type CloseCode, closeDetail, jitter, type Range, retryMs } from './close-code.ts';
import type { Connection, Deadline } from './connections.ts';
import { type Encode, Outflow, type OutflowShared, type Wire } from './outflow.ts';

/** How a one-way stream says what it has to say; bytes are ready for the wire. */
export interface Dialect {
  readonly encode: Encode;
  /** The first bytes; how long to wait, in milliseconds, before coming back after a connection that broke. */
  greeting(retryMs: number): Buffer;
  /** From here on every matching publication is given. */
  opened(cursor: Cursor): Buffer;
  /** Keeps an idle connection alive. */
  readonly heartbeat: Buffer;
  /** Moves the client's place on without a publication. */
  place(cursor: Cursor): Buffer;
  /** The last bytes, with the end of the body. Without `retryMs` a reconnect with the same credentials is refused. */
  closing(code: CloseCode, detail: string, retryMs: number | undefined): Buffer;
}

/** What the streams of one edge share. */
export interface StreamShared extends OutflowShared {
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  onEnd(code: CloseCode): void;
  onError(error: unknown): void;
}

export interface StreamOptions {
  readonly wire: Wire;
  /** Goes out before the first bytes. */
  readonly head: Buffer;
  readonly dialect: Dialect;
  readonly hub: Pick<Hub, 'open'>;
  readonly grant: Grant;
  readonly connection: string;
  readonly deadline: Deadline;
  /** Ends by `connection_age` after about so many bytes, to come back at once: for clients that keep all they were sent. */
  readonly bytes?: number;
}

/** What a stream subscribes to. */
export interface StreamAsk {
  readonly filters: readonly TopicFilter[];
  readonly after: Cursor | undefined;
  readonly retained: boolean;
}

// Intermediaries cut idle connections after 30 s and more; spread, so that no second carries all heartbeats.
const beat: Range = [15_000, 25_000];
// How long the head waits for the log: past it the client, and every proxy before it, hears at least that we are here.
const openingMs = 2_000;
// How long a client may take to receive the last bytes and close.
const lingerMs = 5_000;

/**
 * A one-way stream, whichever its dialect: what goes out, when, and when it ends. It owns its feed and its timer, and
 * no socket.
 *
 * opening → live → ended: publications are written in both of the first two, since a resume replays long before
 * it is live.
 */
export class Stream implements Connection {
  readonly grant: Grant;
  readonly connection: string;
  readonly #shared: StreamShared;
  readonly #o: StreamOptions;
  /** Empty once it went out. */
  #head: Buffer;
  #bytesLeft: number;
  readonly #outflow: Outflow;
  #cancelTimer: () => void = () => {};
  #ended = false;

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(shared: StreamShared, o: StreamOptions) {
    this.grant = o.grant;
    this.connection = o.connection;
    this.#shared = shared;
    this.#o = o;
    this.#head = Buffer.concat([o.head, o.dialect.greeting(jitter(brokenRetry))]);
    this.#bytesLeft = o.bytes ?? Number.POSITIVE_INFINITY;
    this.#outflow = new Outflow(shared, {
      hub: o.hub,
      wire: { write: (bytes) => this.#write(bytes) },
      encode: o.dialect.encode,
      onClose: (reason) => this.#closed(reason),
    });
  }

  /**
   * Subscribes. The head waits for it, so that a client whose connection opens may rely on every publication
   * from then on.
   *
   * @throws PushfleetError where the log fails before anything was written
   */
  async begin({ filters, after, retained }: StreamAsk): Promise<void> {
    const outflow = this.#outflow;
    this.#arm(openingMs);
    try {
      await outflow.feed.add(filters, { retained, ...(after !== undefined && { after }) });
      if (this.#ended) return;
      // Who resumes has a place already; the feed's own may still lie before it.
      outflow.told ??= after ?? outflow.feed.cursor;
      outflow.say(this.#o.dialect.opened(outflow.told));
      this.#cancelTimer();
      this.#arm(jitter(beat));
    } catch (thrown) {
      const error = PushfleetError.from(thrown);
      if (this.#head.length === 0 || this.#ended) return this.#fail(error);
      this.gone();
      throw error;
    }
  }

  /** The wire takes bytes again. */
  drained(): void {
    this.#outflow.drained();
  }

  /** Tells the client why, as far as it can be told, and ends the stream. What is still held back, a resume gives. */
  end(code: CloseCode): void {
    this.#end(code, retryMs(code));
  }

  #end(code: CloseCode, waitMs: number | undefined): void {
    if (this.#ended) return;
    this.gone();
    this.#shared.onEnd(code);
    const { wire, dialect } = this.#o;
    // A full wire would deliver the news after everything that it is late with.
    if (code === 'slow_consumer' && !this.#outflow.writable) {
      wire.destroy();
      return;
    }
    wire.end(this.#withHead(dialect.closing(code, closeDetail(code), waitMs)));
    this.#cancelTimer = this.#shared.wheel.after(lingerMs, () => wire.destroy());
  }

  #closed(reason: CloseReason): void {
    if (reason.kind === 'failed') this.#fail(reason.error);
    else this.end(reason.kind);
  }

  #fail(error: PushfleetError): void {
    if (error.code === 'internal') this.#shared.onError(error.cause ?? error);
    this.end(error.code);
  }

  /** The client has gone: lets go of everything. */
  gone(): void {
    this.#ended = true;
    this.#outflow.close();
    this.#cancelTimer();
  }

  cut(): void {
    this.gone();
    this.#o.wire.destroy();
  }

  #write(bytes: Buffer): boolean {
    const writable = this.#o.wire.write(this.#head.length === 0 ? bytes : this.#withHead(bytes));
    this.#bytesLeft -= bytes.length;
    if (this.#bytesLeft <= 0) setImmediate(() => this.#end('connection_age', 0));
    return writable;
  }

  #withHead(bytes: Buffer): Buffer {
    const head = this.#head;
    this.#head = nothing;
    return head.length === 0 ? bytes : Buffer.concat([head, bytes]);
  }

  #arm(ms: number): void {
    const left = this.#o.deadline.at - this.#shared.now();
    this.#cancelTimer = this.#shared.wheel.after(Math.min(left, ms), this.#onTimer);
  }

  // One timer for heartbeat and deadline.
  readonly #onTimer = (): void => {
    const { at, code } = this.#o.deadline;
    if (this.#shared.now() >= at) {
      this.end(code);
      return;
    }
    if (this.#outflow.writable) this.#beat();
    this.#arm(jitter(beat));
  };

  #beat(): void {
    const { dialect } = this.#o;
    const moved = this.#outflow.moved();
    this.#outflow.say(moved === undefined ? dialect.heartbeat : dialect.place(moved));
  }
}

const nothing = Buffer.alloc(0);
