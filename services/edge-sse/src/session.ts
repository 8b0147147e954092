import { type Cursor, type Item, PushfleetError } from '@pushfleet/core';
import type { CloseReason, Delivery, Encoder, Feed, Hub } from '@pushfleet/hub';
import type { Deliveries, Grant, TimerWheel } from '@pushfleet/runtime';
import { brokenRetry, type CloseCode, closeDetail, jitter, type Range, retryMs } from './close-code.ts';
import {
  closing,
  type Format,
  type Framing,
  frame,
  gap,
  greeting,
  heartbeat,
  lastFrame,
  opened,
  place,
  publicationEvent,
} from './codec.ts';
import type { Ask } from './request.ts';
import type { Runs } from './runs.ts';

/** The way to the client; a socket is one. */
export interface Wire {
  /** False: it is full, and `Session.drained` has to be called once it is not. */
  write(bytes: Buffer): boolean;
  end(bytes: Buffer): void;
  destroy(): void;
}

/** What the sessions of one edge share. */
export interface Shared {
  readonly runs: Runs;
  readonly deliveries: Pick<Deliveries, 'writing'>;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Most publications a feed holds back for a slow client, and their bytes. */
  readonly outbox: { readonly count: number; readonly bytes: number };
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** Counted up by every session. */
  readonly written: { deliveries: number; bytes: number };
  onEnd(code: CloseCode): void;
  onError(error: unknown): void;
}

/** When a session ends by itself. */
export interface Deadline {
  /** Unix time in milliseconds. */
  readonly at: number;
  readonly code: 'token_expired' | 'connection_age';
}

// Intermediaries cut idle connections after 30 s and more; spread, so that no second carries all heartbeats.
const beat: Range = [15_000, 25_000];
// What one write carries at most: enough to make the system call cheap, little enough that a slow client holds
// little outside its bounded outbox.
const flushCount = 512;
const flushBytes = 64 * 1_024;
// How long the head waits for the log: past it the client, and every proxy before it, hears at least that we are here.
const openingMs = 2_000;
// How long a client may take to receive the last bytes and close.
const lingerMs = 5_000;

/** The bytes of one item; the same function for every session whose bytes are the same. */
type Encode = (item: Item<Delivery>) => Buffer;

const encoders = {
  payload: { chunked: encoder('payload', 'chunked'), plain: encoder('payload', 'plain') },
  cloudevents: { chunked: encoder('cloudevents', 'chunked'), plain: encoder('cloudevents', 'plain') },
} as const;

function encoder(format: Format, framing: Framing): Encode {
  const encode: Encoder<Buffer> = ({ publication, cursor }) =>
    frame(framing, publicationEvent(format, publication, cursor));
  return (item) =>
    item.kind === 'publication' ? item.value.encoded(encode) : frame(framing, gap(item.from, item.to));
}

/**
 * One event stream: what goes out, when, and when it ends. It owns its feed and its timer, and no socket.
 *
 * opening → live → ended: publications are written in both of the first two, since a resume replays long before
 * it is live.
 */
export class Session {
  readonly grant: Grant;
  /** Names the stream in its client's hands, in logs and in revocations. */
  readonly connection: string;
  readonly #shared: Shared;
  readonly #wire: Wire;
  /** Goes out before the first bytes; empty afterwards. */
  #head: Buffer;
  readonly #framing: Framing;
  readonly #encode: Encode;
  readonly #deadline: Deadline;
  readonly #feed: Feed;
  #cancelTimer: () => void = () => {};
  #told: Cursor | undefined;
  #writable = true;
  #ended = false;

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(
    shared: Shared,
    o: {
      wire: Wire;
      head: Buffer;
      hub: Hub;
      framing: Framing;
      format: Format;
      grant: Grant;
      connection: string;
      deadline: Deadline;
    },
  ) {
    this.grant = o.grant;
    this.connection = o.connection;
    this.#shared = shared;
    this.#wire = o.wire;
    this.#head = Buffer.concat([o.head, frame(o.framing, greeting(jitter(brokenRetry)))]);
    this.#framing = o.framing;
    this.#encode = encoders[o.format][o.framing];
    this.#deadline = o.deadline;
    this.#feed = o.hub.open({
      overflow: 'close',
      ...shared.outbox,
      onReadable: () => this.#flush(),
      onClose: (reason) => this.#closed(reason),
    });
  }

  /**
   * Subscribes. The head waits for it, so that a client whose connection opens may rely on every publication
   * from then on.
   *
   * @throws PushfleetError where the log fails before anything was written
   */
  async begin({ filters, after, retained }: Ask): Promise<void> {
    this.#arm(openingMs);
    try {
      await this.#feed.add(filters, { retained, ...(after !== undefined && { after }) });
      if (this.#ended) return;
      // Who resumes has a place already; the feed's own may still lie before it.
      this.#told ??= after ?? this.#feed.cursor;
      this.#say(opened(this.#told));
      this.#cancelTimer();
      this.#arm(jitter(beat));
    } catch (thrown) {
      const error = PushfleetError.from(thrown);
      if (this.#head.length === 0 || this.#ended) return this.#fail(error);
      this.gone();
      throw error;
    }
  }

  // The hot path of the product. The hub calls for all feeds together once a turn, so an idle process writes at
  // once and a busy one finds several publications to write together.
  #flush(): void {
    while (this.#writable && !this.#ended) {
      const items = this.#feed.take(flushCount, flushBytes);
      if (items.length === 0) return;
      const written = this.#shared.deliveries.writing(items);
      const bytes = this.#shared.runs.bytes(items.map(this.#encode));
      this.#write(bytes);
      written?.();
      this.#told = cursorOf(items[items.length - 1] as Item<Delivery>);
      this.#shared.written.deliveries += items.length;
      this.#shared.written.bytes += bytes.length;
    }
  }

  /** The wire takes bytes again. */
  drained(): void {
    this.#writable = true;
    this.#flush();
  }

  /** Tells the client why, as far as it can be told, and ends the stream. What is still held back, a resume gives. */
  end(code: CloseCode): void {
    if (this.#ended) return;
    this.gone();
    this.#shared.onEnd(code);
    // A full wire would deliver the news after everything that it is late with.
    if (code === 'slow_consumer' && !this.#writable) {
      this.#wire.destroy();
      return;
    }
    this.#wire.end(this.#withHead(lastFrame(this.#framing, closing(code, closeDetail(code), retryMs(code)))));
    this.#cancelTimer = this.#shared.wheel.after(lingerMs, () => this.#wire.destroy());
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
    this.#feed.close();
    this.#cancelTimer();
  }

  /** Ends the stream without a word. */
  cut(): void {
    this.gone();
    this.#wire.destroy();
  }

  #say(text: string): void {
    this.#write(frame(this.#framing, text));
  }

  #write(bytes: Buffer): void {
    this.#writable = this.#wire.write(this.#head.length === 0 ? bytes : this.#withHead(bytes));
  }

  #withHead(bytes: Buffer): Buffer {
    const head = this.#head;
    this.#head = nothing;
    return Buffer.concat([head, bytes]);
  }

  #arm(ms: number): void {
    const left = this.#deadline.at - this.#shared.now();
    this.#cancelTimer = this.#shared.wheel.after(Math.min(left, ms), this.#onTimer);
  }

  // One timer for heartbeat and deadline.
  readonly #onTimer = (): void => {
    if (this.#shared.now() >= this.#deadline.at) {
      this.end(this.#deadline.code);
      return;
    }
    if (this.#writable) this.#beat();
    this.#arm(jitter(beat));
  };

  // A quiet stream's cursor moves on all the same: from the old one a resume would one day meet a gap. Before
  // anything was given there is nothing to resume.
  #beat(): void {
    const { cursor } = this.#feed;
    if (this.#told === undefined || this.#told === cursor) {
      this.#say(heartbeat);
      return;
    }
    this.#say(place(cursor));
    this.#told = cursor;
  }
}

const nothing = Buffer.alloc(0);

const cursorOf = (item: Item<Delivery>): Cursor =>
  item.kind === 'publication' ? item.value.cursor : item.to;
