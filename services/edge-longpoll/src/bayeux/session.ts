import { type Cursor, PushfleetError } from '@pushfleet/core';
import { type CloseCode, type Connection, closeDetail } from '@pushfleet/edge';
import { type CloseReason, earlierOf, type Feed, type Hub } from '@pushfleet/hub';
import type { Deliveries, Grant, TimerWheel } from '@pushfleet/runtime';
import { filterOf } from './channel.ts';
import { eventText, gapText } from './event.ts';
import type { Handover } from './handover.ts';
import { type Answer, type LastAnswer, type Poll, proves, refusal, type Way } from './poll.ts';
import type { PresentOn, SessionRecord, Subscription } from './record.ts';
import { type Advice, usualAdvice } from './reply.ts';
import { Unproven } from './unproven.ts';

export interface SessionLimits {
  /** How long a connect waits, in milliseconds. */
  readonly timeoutMs: number;
  /** How long a session lives without a connect that waits, in milliseconds. */
  readonly idleMs: number;
  readonly subscriptions: number;
  /** Most publications in one answer, and most bytes unless one alone has more. */
  readonly batchCount: number;
  readonly batchBytes: number;
  /** Most that a feed holds back. */
  readonly outbox: { readonly count: number; readonly bytes: number };
  readonly hosts: readonly string[];
}

/** What the sessions of one process share. */
export interface SessionShared {
  readonly limits: SessionLimits;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly deliveries: Pick<Deliveries, 'writing'>;
  /** Counted up by every session. */
  readonly written: { deliveries: number; bytes: number };
  /** What its client has received has grown. */
  onProgress(session: Session): void;
  /** It should end: by what the edge or its feed says, or `undefined` where its client was not heard of for long. */
  onOver(session: Session, why: CloseCode | undefined): void;
}

/** Asking not to wait so many times in a row, from the first connect on, is how a client polls. */
const pollingTurns = 3;

/**
 * A Bayeux session at the instance that has it: what its client is subscribed to, what it was sent, what it received.
 * It owns its feed and its timers, and no socket.
 *
 * Without a word of the client nothing is dropped: what was sent stays until a connect proves that it arrived, by the
 * acknowledgement extension or by `proves`.
 */
export class Session implements Connection {
  readonly key: string;
  readonly connection: string;
  /** The client acknowledges batches, so all messages ride on answers to its connects, in order. */
  readonly acks: boolean;
  readonly subscriptions = new Map<string, Subscription>();
  readonly presences = new Map<string, PresentOn>();
  grant: Grant;
  /** How its owner stops counting it. */
  release: () => void = () => {};
  readonly #shared: SessionShared;
  readonly #feed: Feed;
  readonly #unproven: Unproven;
  /** Where something is unproven: all before it has arrived, and what is asked of the past lies behind it. */
  #proven: Cursor | undefined;
  /** Unproven messages are to be sent again before any other. */
  #repeat = false;
  #held: Poll | undefined;
  #way: Way | undefined;
  #last: LastAnswer | undefined;
  /** Connects so far that asked not to wait; not a number once one waited. */
  #zeros = 0;
  /** The advice that its client follows is the usual one. */
  #advised = false;
  #handover: Handover | undefined;
  #cancelTimer: () => void = () => {};
  #cancelExpiry: () => void = () => {};

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(
    shared: SessionShared,
    hub: Pick<Hub, 'open'>,
    o: { key: string; record: Pick<SessionRecord, 'grant' | 'connection' | 'ack' | 'batch'> },
  ) {
    const { grant, connection, ack, batch } = o.record;
    this.key = o.key;
    this.grant = grant;
    this.connection = connection;
    this.acks = ack;
    this.#shared = shared;
    this.#unproven = new Unproven(batch);
    this.#feed = hub.open({
      overflow: 'rewind',
      ...shared.limits.outbox,
      onReadable: () => this.#pump(),
      onClose: (reason) => this.#closed(reason),
    });
    this.#armIdle();
    this.#armExpiry();
  }

  get ended(): boolean {
    return this.#handover !== undefined;
  }

  /** Whether a connect waits for its answer. */
  get waits(): boolean {
    return this.#held !== undefined;
  }

  /** Whether its token counts no more. A new one of the same subject revives it. */
  get expired(): boolean {
    return this.#shared.now() >= this.grant.expiresAt;
  }

  /** Who resumes all subscriptions from here is given all that has not arrived. Undefined before the first one. */
  get place(): Cursor | undefined {
    if (this.#unproven.size > 0) return this.#proven;
    return this.subscriptions.size > 0 ? this.#feed.cursor : undefined;
  }

  get batch(): number {
    return this.#unproven.batch;
  }

  /**
   * Goes on where another instance was. All subscriptions catch up together: one behind the other, the last would hold
   * the place back until the first has done, and with a session that moves on before that none would get on.
   *
   * @throws PushfleetError as `Feed.add`
   */
  async resume(subscriptions: readonly Subscription[], from: Cursor | undefined): Promise<void> {
    for (const one of subscriptions) this.subscriptions.set(one.channel, one);
    if (subscriptions.length > 0) await this.#add(subscriptions, from);
  }

  async #add(subscriptions: readonly Subscription[], after: Cursor | undefined): Promise<void> {
    const filters = subscriptions.map(({ filter }) => filter);
    const retained = subscriptions.filter((one) => one.retained).map(({ filter }) => filter);
    await this.#feed.add(filters, {
      ...(after !== undefined && { after }),
      ...(retained.length > 0 && { retained }),
    });
  }

  /**
   * Subscribes; channels that it has already stay as they are.
   *
   * @throws PushfleetError `filter_invalid`, `forbidden`, `too_many_filters`, or as `Feed.add`
   */
  async subscribe(channel: string, o: { after?: Cursor; retained?: boolean }): Promise<void> {
    const filter = filterOf(channel);
    this.grant.require('subscribe', filter);
    if (this.subscriptions.has(channel)) return;
    const { subscriptions: most } = this.#shared.limits;
    if (this.subscriptions.size >= most) {
      throw new PushfleetError(
        'too_many_filters',
        `A session holds at most ${most} subscriptions. Use a pattern such as "/orders/**".`,
        { detail: { limit: most } },
      );
    }
    const { after, retained } = o;
    const one: Subscription = { channel, filter, ...(retained && { retained }) };
    this.subscriptions.set(channel, one);
    if (after !== undefined) this.#goBack(after);
    try {
      await this.#add([one], after);
    } catch (error) {
      this.subscriptions.delete(channel);
      throw error;
    }
  }

  /** The feed holds its places back from now on; those of what was taken before are held back here. */
  #goBack(after: Cursor): void {
    if (this.#proven !== undefined) this.#proven = earlierOf(this.#proven, after);
    this.#unproven.forget();
  }

  unsubscribe(channel: string): void {
    const one = this.subscriptions.get(channel);
    if (one === undefined) return;
    this.subscriptions.delete(channel);
    this.#feed.remove(one.filter);
  }

  /** @throws PushfleetError `forbidden` where the new grant is another's, or lacks what the session is subscribed to */
  renew(grant: Grant): void {
    if (grant.subject !== this.grant.subject || grant.namespace !== this.grant.namespace) {
      throw new PushfleetError('forbidden', 'The session belongs to the subject that shook hands.');
    }
    for (const { filter } of this.subscriptions.values()) grant.require('subscribe', filter);
    this.grant = grant;
    this.#cancelExpiry();
    this.#armExpiry();
    this.#pump();
  }

  /** A connect: it is answered when there is something to say, or its time is over. */
  connect(poll: Poll): void {
    this.#supersede();
    this.#settle(poll);
    this.#held = poll;
    this.#way = poll.way;
    this.#cancelTimer();
    const { timeoutMs } = this.#shared.limits;
    const wait = Math.min(poll.timeout ?? timeoutMs, timeoutMs);
    this.#cancelTimer = this.#shared.wheel.after(wait, () => this.#answer([]));
    this.#pump();
    // Asked not to wait, and there is nothing.
    if (wait === 0 && this.#held === poll) this.#answer([]);
  }

  /** Whether its client was last heard of on another way. */
  isElsewhere(way: Way): boolean {
    return this.#way !== undefined && this.#way !== way;
  }

  /** The client of a way has gone. */
  gone(way: Way): void {
    if (this.#way !== way) return;
    this.#way = undefined;
    this.#held = undefined;
    if (!this.ended) this.#armIdle();
  }

  /** "The client MUST maintain only a single outstanding connect": of two the older one has lost its client. */
  #supersede(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    this.#advised = false;
    // Two clients with one id would otherwise answer each other without end.
    held.answer({ events: [], advice: { ...this.#advice, interval: 1_000 } });
  }

  #settle(poll: Poll): void {
    const unproven = this.#unproven;
    const polling = this.#zeros >= pollingTurns;
    this.#zeros = poll.timeout === 0 ? this.#zeros + 1 : Number.NaN;
    const before = this.place;
    const last = this.#last;
    let acked = -1;
    if (this.acks) acked = unproven.known(poll.ack);
    else if (last !== undefined && proves(poll, last, polling)) acked = unproven.batch;
    this.#proven = unproven.prove(acked) ?? this.#proven;
    // What went out on this very WebSocket behind the last answer is on its way.
    this.#repeat = unproven.size > 0 && (this.acks || poll.way.push === undefined || poll.way !== last?.way);
    const settled = this.#settleRetained();
    if (settled || this.place !== before) this.#shared.onProgress(this);
  }

  /** Those whose retained publications have not all arrived. */
  get #owed(): readonly Subscription[] {
    return [...this.subscriptions.values()].filter(({ retained }) => retained);
  }

  /** Whether all retained publications have just turned out to have arrived. */
  #settleRetained(): boolean {
    if (this.#unproven.size > 0 || this.#feed.retaining) return false;
    const owed = this.#owed;
    for (const { channel, filter } of owed) this.subscriptions.set(channel, { channel, filter });
    return owed.length > 0;
  }

  /** Sends what there is and may be sent now. */
  #pump(): void {
    if (this.ended || this.expired) return;
    if (this.#way?.push !== undefined && !this.acks) this.#push(this.#way.push);
    else if (this.#held !== undefined) this.#batch();
  }

  /** On a WebSocket messages go out at once, as many as may be unproven; the answer to a connect asks for the proof. */
  #push(push: (texts: readonly string[]) => void): void {
    const unproven = this.#unproven;
    const { batchCount, batchBytes } = this.#shared.limits;
    if (this.#repeat) push(unproven.texts());
    this.#repeat = false;
    while (unproven.bytes < batchBytes) {
      const taken = this.#take();
      if (taken === undefined) break;
      if (taken.length > 0) push(taken);
    }
    const much = unproven.bytes >= batchBytes / 2 || unproven.size >= batchCount / 2;
    if (this.#held !== undefined && much) this.#answer([]);
  }

  #batch(): void {
    const unproven = this.#unproven;
    const texts = this.#repeat ? [...unproven.texts()] : [];
    this.#repeat = false;
    while (unproven.bytes < this.#shared.limits.batchBytes) {
      const taken = this.#take();
      if (taken === undefined) break;
      texts.push(...taken);
    }
    if (texts.length > 0) this.#answer(texts);
  }

  /** The texts of what comes next, none for what Bayeux has no channel for; undefined where nothing comes. */
  #take(): string[] | undefined {
    const { batchCount, batchBytes } = this.#shared.limits;
    const unproven = this.#unproven;
    if (unproven.size >= batchCount) return undefined;
    if (unproven.size === 0) this.#proven = this.#feed.cursor;
    const items = this.#feed.take(batchCount - unproven.size, batchBytes);
    if (items.length === 0) return undefined;
    const written = this.#shared.deliveries.writing(items);
    const texts: string[] = [];
    for (const item of items) {
      const gap = item.kind === 'gap';
      const cursor = gap ? item.to : item.value.cursor;
      const text = gap ? gapText(item.from, item.to) : item.value.encoded(eventText);
      if (text === undefined) {
        if (!unproven.pass(cursor)) this.#proven = cursor;
        continue;
      }
      unproven.add(text, cursor);
      texts.push(text);
      this.#shared.written.deliveries++;
      this.#shared.written.bytes += text.length;
    }
    written?.();
    return texts;
  }

  #answer(events: readonly string[]): void {
    const poll = this.#held;
    if (poll === undefined) return;
    this.#held = undefined;
    const batch = this.#unproven.seal();
    this.#last = { id: poll.id, way: poll.way, receipt: poll.receipt };
    this.#armIdle();
    const advice = this.#advised ? undefined : this.#advice;
    this.#advised = true;
    poll.answer({ events, ...(advice && { advice }), ...(this.acks && { ack: batch }) });
  }

  /** Tells its client why it cannot be served, in answer to its connect. What it has not received stays. */
  #refuse(error: PushfleetError): void {
    this.#advised = false;
    const held = this.#held;
    this.#held = undefined;
    this.#armIdle();
    held?.answer(refusal(error));
  }

  /** The usual advice. */
  get #advice(): Advice {
    return usualAdvice(this.#shared.limits);
  }

  /**
   * Lets go of everything and tells what another instance needs to go on. A connect that waits gets this answer.
   *
   * @param stays its WebSocket is left to its client, who knows that the session ends
   */
  leave(answer: Omit<Answer, 'events'> = {}, stays = false): Handover {
    if (this.#handover !== undefined) return this.#handover;
    this.#settleRetained();
    const { place: cursor, batch } = this;
    const owed = this.#owed.map(({ channel }) => channel);
    const last = this.#last;
    const provable = last !== undefined && last.way.push === undefined && !last.receipt.broken;
    this.#handover = {
      ...{ cursor, batch, owed },
      ...((provable || this.acks) && {
        ...{ to: this.#unproven.end, id: last?.id },
        owedTo: this.#feed.retaining ? owed : [],
      }),
    };
    this.#cancelTimer();
    this.#cancelExpiry();
    this.#feed.close();
    this.release();
    const held = this.#held;
    const way = this.#way;
    this.#held = undefined;
    this.#way = undefined;
    held?.answer({ events: [], advice: this.#advice, ...answer });
    if (!stays) way?.close?.();
    return this.#handover;
  }

  end(code: CloseCode): void {
    this.#shared.onOver(this, code);
  }

  cut(): void {
    this.leave();
  }

  #closed(reason: CloseReason): void {
    if (reason.kind === 'failed') this.#shared.onOver(this, reason.error.code);
    else this.#shared.onOver(this, reason.kind);
  }

  #armIdle(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#shared.wheel.after(this.#shared.limits.idleMs, () =>
      this.#shared.onOver(this, undefined),
    );
  }

  #armExpiry(): void {
    const { wheel, now } = this.#shared;
    this.#cancelExpiry = wheel.after(this.grant.expiresAt - now(), () => {
      this.#refuse(new PushfleetError('token_expired', closeDetail('token_expired')));
    });
  }
}
