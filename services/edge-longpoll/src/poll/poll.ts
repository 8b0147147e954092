import { type Cursor, type Item, PushfleetError } from '@pushfleet/core';
import { type CloseCode, type Connection, closeDetail, cursorOf, type Deadline } from '@pushfleet/edge';
import type { CloseReason, Delivery, Feed, Hub } from '@pushfleet/hub';
import type { Grant, TimerWheel } from '@pushfleet/runtime';
import { encodeItem } from './codec.ts';
import type { PollAsk } from './request.ts';

/** How a poll is answered, once. */
export interface Answer {
  batch(cursor: Cursor, items: readonly Item<Delivery>[]): void;
  /** Nothing came while it waited. */
  nothing(cursor: Cursor): void;
  refuse(error: PushfleetError): void;
  cut(): void;
}

export interface PollOptions {
  readonly ask: PollAsk;
  readonly answer: Answer;
  readonly hub: Pick<Hub, 'open'>;
  readonly grant: Grant;
  readonly connection: string;
  readonly deadline: Deadline;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly limits: PollBounds;
}

export interface PollBounds {
  readonly outboxCount: number;
  readonly outboxBytes: number;
  /** Most bytes of publications in one answer; one publication always fits. */
  readonly batchBytes: number;
  /** Most retained publications in a first answer, and the bytes of them. */
  readonly retainedCount: number;
  readonly retainedBytes: number;
}

// How long a request that is to be answered at once waits for the log.
const readingMs = 10_000;

/**
 * One waiting request: opens a feed at the client's place, and closes it with the answer. Nothing of it outlives the
 * request: the place moves on only when the next request brings the cursor of this answer, so an answer that is lost
 * on the way loses nothing, and any instance serves the next request.
 */
export class Poll implements Connection {
  readonly grant: Grant;
  readonly connection: string;
  readonly #o: PollOptions;
  readonly #feed: Feed;
  readonly #since: number;
  readonly #items: Item<Delivery>[] = [];
  #bytes = 0;
  /** The filters stand: what is published from now on comes. */
  #fenced = false;
  /** It waits no more for what is new, only for what is being read of the past. */
  #due: boolean;
  #answered = false;
  #cancelTimer: () => void = () => {};

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(o: PollOptions) {
    const { ask, limits } = o;
    this.grant = o.grant;
    this.connection = o.connection;
    this.#o = o;
    this.#since = o.now();
    // Without a cursor there is nothing to wait for yet: a client must have one before it can miss anything.
    this.#due = ask.after === undefined || ask.waitMs === 0;
    this.#feed = o.hub.open({
      overflow: 'close',
      ...{ count: limits.outboxCount, bytes: limits.outboxBytes },
      onReadable: () => this.#take(),
      onLive: () => this.#whenLive(),
      onClose: (reason) => this.#closed(reason),
    });
  }

  /**
   * Subscribes, and sees to the answer.
   *
   * @throws PushfleetError with which it was refused, where the log failed before the filters stood
   */
  async begin(): Promise<void> {
    const { filters, after, retained, waitMs } = this.#o.ask;
    this.#arm(this.#due ? readingMs : waitMs);
    try {
      await this.#feed.add(filters, { retained, ...(after !== undefined && { after }) });
    } catch (thrown) {
      const error = PushfleetError.from(thrown);
      this.#refuse(error);
      throw error;
    }
    this.#fenced = true;
    if (this.#feed.live) this.#whenLive();
  }

  /** Answers with what there is, as far as the code allows that. */
  end(code: CloseCode): void {
    if (this.#answered) return;
    const final = code === 'token_expired' || code === 'token_revoked';
    if (final || (this.#o.ask.after === undefined && !this.#isLive)) this.#refuse(errorOf(code));
    else this.#answer();
  }

  cut(): void {
    this.gone();
    this.#o.answer.cut();
  }

  /** The client has gone, or has its answer: lets go of everything. */
  gone(): void {
    this.#answered = true;
    this.#feed.close();
    this.#cancelTimer();
  }

  get #isLive(): boolean {
    return this.#fenced && this.#feed.live;
  }

  #take(): void {
    if (this.#answered) return;
    const { ask, limits } = this.#o;
    if (ask.retained) {
      this.#gather();
      return;
    }
    this.#items.push(...this.#feed.take(ask.count, limits.batchBytes));
    if (this.#items.length > 0) this.#answer();
  }

  /**
   * Retained publications have one place, before all that is live, so a cursor cannot tell two answers of them apart:
   * they come in one or not at all.
   */
  #gather(): void {
    const { retainedCount, retainedBytes } = this.#o.limits;
    while (!this.#answered) {
      const items = this.#feed.take(retainedCount + 1 - this.#items.length, retainedBytes);
      if (items.length === 0) return;
      for (const item of items) this.#bytes += encodeItem(item).length;
      this.#items.push(...items);
      if (this.#items.length <= retainedCount && this.#bytes <= retainedBytes) continue;
      if (isRetained(this.#items[this.#items.length - 1] as Item<Delivery>)) this.#refuse(this.#tooMany());
      else this.#answer();
    }
  }

  #tooMany(): PushfleetError {
    const { retainedCount, retainedBytes } = this.#o.limits;
    return new PushfleetError(
      'request_invalid',
      `These filters match more retained publications than one answer holds, ${retainedCount} of together ${retainedBytes} bytes. Name narrower filters, or use /sse or /comet/stream.`,
      { detail: { limit: retainedCount } },
    );
  }

  #whenLive(): void {
    if (this.#answered || !this.#due) return;
    // What was given just now is told by the turn that is about to end.
    this.#take();
    if (!this.#answered) this.#answer();
  }

  #answer(): void {
    const items = this.#items;
    const cursor = this.#place();
    this.gone();
    if (items.length > 0 || this.#o.ask.after === undefined) this.#o.answer.batch(cursor, items);
    else this.#o.answer.nothing(cursor);
  }

  /** Behind the last item; else as far as the feed has come, which before it is live may lie before the client's place. */
  #place(): Cursor {
    const last = this.#items[this.#items.length - 1];
    if (last !== undefined) return cursorOf(last);
    return this.#isLive ? this.#feed.cursor : (this.#o.ask.after ?? this.#feed.cursor);
  }

  #refuse(error: PushfleetError): void {
    if (this.#answered) return;
    this.gone();
    this.#o.answer.refuse(error);
  }

  #closed(reason: CloseReason): void {
    if (reason.kind === 'failed') this.#refuse(reason.error);
    else this.end(reason.kind);
  }

  #arm(ms: number): void {
    const left = this.#o.deadline.at - this.#o.now();
    this.#cancelTimer = this.#o.wheel.after(Math.min(left, ms), this.#onTimer);
  }

  readonly #onTimer = (): void => {
    const { ask, deadline } = this.#o;
    const waited = this.#o.now() - this.#since;
    if (this.#o.now() >= deadline.at) this.end(deadline.code);
    else if (this.#isLive) this.#answer();
    else if (waited < readingMs) {
      // An answer now would name the place that the client has, and the next request would read the same again.
      this.#due = true;
      this.#arm(readingMs - waited);
    } else if (ask.after === undefined) this.#refuse(errorOf('timeout'));
    else this.#answer();
  };
}

const isRetained = (item: Item<Delivery>): boolean => item.kind === 'publication' && item.value.retained;

function errorOf(code: CloseCode): PushfleetError {
  if (code === 'slow_consumer' || code === 'connection_age') return errorOf('unavailable');
  return new PushfleetError(code, closeDetail(code));
}
