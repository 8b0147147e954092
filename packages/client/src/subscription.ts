import { Seen } from './dedupe.ts';
import { Emitter } from './emitter.ts';
import { PushfleetError } from './errors.ts';
import { matches } from './filter.ts';
import type { Message, ReceivedMessage } from './message.ts';

export interface SubscribeOptions {
  /** The cursor of the last message that was dealt with: everything after it comes. Absent: from now on. */
  readonly after?: string | undefined;
  /** The retained publications of the topics come first, marked `retained`. */
  readonly retained?: boolean;
  /** Most messages held for a slow reader; `limits.buffer` where absent. */
  readonly buffer?: number;
}

/** Publications between the two cursors can no longer be given: they were deleted, expired, or the log lost them. */
export interface Gap {
  readonly from: string;
  readonly to: string;
}

export interface SubscriptionEvents {
  message: Message;
  gap: Gap;
  /** It has ended and will bring nothing more: a refusal, or the end of the whole client. */
  error: PushfleetError;
}

/**
 * What matches one filter, exactly once and in order per topic while the page lives.
 *
 * Read it with `for await`, or hand a function to `subscribe` or to `on('message')`: one or the other. Leaving the loop
 * ends it. A reader that is slower than its messages fills the buffer; the subscription then leaves the connection,
 * without disturbing others, and comes back behind the last message it took once half of the buffer is free.
 */
export interface Subscription extends AsyncIterable<Message> {
  readonly filter: string;
  /** The cursor of the last message that the program was handed: what to store, to go on from there next time. */
  readonly cursor: string | undefined;
  /** Resolves once it stands: what is published from then on comes. Rejects where it is refused. */
  readonly ready: Promise<void>;
  /** @returns a function that takes the handler away */
  on<K extends keyof SubscriptionEvents>(
    event: K,
    handler: (value: SubscriptionEvents[K]) => void,
  ): () => void;
  /** Ends it: loops over it end, and nothing more comes. */
  close(): void;
}

/** Where a subscription, or a connection, begins. */
export interface Start {
  readonly after: string | undefined;
  readonly retained: boolean;
}

export interface ReaderOptions {
  readonly filter: string;
  readonly buffer: number;
  readonly remembered: number;
  /** It can take no more now. */
  onFull(reader: Reader): void;
  /** Half of its buffer is free again: it goes on from this place. */
  onRoom(reader: Reader, start: Start): void;
  onGap(reader: Reader, gap: Gap): void;
  onClose(reader: Reader): void;
}

interface Waiting {
  resolve(result: IteratorResult<Message>): void;
  reject(error: PushfleetError): void;
}

const done: IteratorResult<Message> = { done: true, value: undefined };

/** The end of a subscription that the program holds: what it has been given, and what waits for it. */
export class Reader implements Subscription {
  readonly filter: string;
  readonly ready: Promise<void>;
  readonly #o: ReaderOptions;
  readonly #seen: Seen;
  readonly #emitter = new Emitter<SubscriptionEvents>();
  readonly #waiting: Waiting[] = [];
  #buffer: Message[] = [];
  /** Where to go on once there is room again. */
  #full: Start | undefined;
  #ended = false;
  #error: PushfleetError | undefined;
  #cursor: string | undefined;
  #stand!: { resolve(): void; reject(error: PushfleetError): void };
  /** Whether the fleet has agreed to its filter. */
  stood = false;

  constructor(options: ReaderOptions) {
    this.#o = options;
    this.filter = options.filter;
    this.#seen = new Seen(options.remembered);
    this.ready = new Promise((resolve, reject) => {
      this.#stand = { resolve, reject };
    });
    this.ready.catch(() => {}); // programs need not look
  }

  get cursor(): string | undefined {
    return this.#cursor;
  }

  on<K extends keyof SubscriptionEvents>(
    event: K,
    handler: (value: SubscriptionEvents[K]) => void,
  ): () => void {
    const off = this.#emitter.on(event, handler);
    if (event === 'message') while (this.#emitter.hears('message') && this.#buffer.length > 0) this.#hand();
    return off;
  }

  /** Takes a message that came on a connection, unless it has had it. @param before the connection's place before it */
  take(message: ReceivedMessage, before: Start): void {
    if (this.#ended || this.#full || !matches(this.filter, message.topic) || this.#seen.has(message.key))
      return;
    if (this.#buffer.length >= this.#o.buffer) {
      this.#full = before;
      this.#o.onFull(this);
      return;
    }
    this.#seen.add(message.key);
    this.#buffer.push(message);
    if (this.#waiting.length > 0 || this.#emitter.hears('message')) this.#hand();
  }

  gap(gap: Gap): void {
    if (this.#ended || this.#full) return;
    this.#emitter.emit('gap', gap);
    this.#o.onGap(this, gap);
  }

  /** What it asked for stands. */
  stands(): void {
    this.stood = true;
    this.#stand.resolve();
  }

  /** Hands out the oldest message. */
  #hand(): void {
    const message = this.#buffer.shift() as Message;
    this.#cursor = message.cursor;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#emitter.emit('message', message);
    else waiting.resolve({ done: false, value: message });
    const start = this.#full;
    if (start !== undefined && !this.#ended && this.#buffer.length * 2 <= this.#o.buffer) {
      this.#full = undefined;
      this.#o.onRoom(this, start);
    }
  }

  #next(): Promise<IteratorResult<Message>> {
    return new Promise((resolve, reject) => {
      const error = this.#error;
      if (this.#ended && this.#buffer.length === 0) {
        this.#error = undefined;
        if (error === undefined) resolve(done);
        else reject(error);
        return;
      }
      this.#waiting.push({ resolve, reject });
      if (this.#buffer.length > 0) this.#hand();
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return {
      next: () => this.#next(),
      return: () => {
        this.close();
        return Promise.resolve(done);
      },
    };
  }

  /** Ends it with an error; what waits for the reader is still read. */
  fail(error: PushfleetError): void {
    if (this.#ended) return;
    this.#end(error);
    this.#emitter.emit('error', error);
  }

  close(): void {
    this.#buffer = [];
    if (!this.#ended) this.#end(undefined);
  }

  #end(error: PushfleetError | undefined): void {
    this.#ended = true;
    this.#stand.reject(error ?? new PushfleetError('closed', 'It was closed.'));
    const [first, ...others] = this.#waiting.splice(0);
    if (error === undefined) first?.resolve(done);
    else if (first === undefined) this.#error = error;
    else first.reject(error);
    for (const { resolve } of others) resolve(done);
    this.#o.onClose(this);
  }
}
