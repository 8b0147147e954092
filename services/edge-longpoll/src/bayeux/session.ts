import { type Cursor, PushfleetError } from '@pushfleet/core';
import { type CloseCode, type Connection, closeDetail } from '@pushfleet/edge';
import type { CloseReason, Hub } from '@pushfleet/hub';
import type { Grant, TimerWheel } from '@pushfleet/runtime';
import { filterOf } from './channel.ts';
import type { Handover } from './handover.ts';
import { type Answer, type LastAnswer, type Poll, proves, refusal, type Way } from './poll.ts';
import type { PresentOn, SessionRecord, Subscription } from './record.ts';
import { type Advice, usualAdvice } from './reply.ts';
import { Supply, type SupplyLimits, type SupplyOptions } from './supply.ts';

export interface SessionLimits extends SupplyLimits {
  /** How long a connect waits, in milliseconds. */
  readonly timeoutMs: number;
  /** How long a session lives without a connect that waits, in milliseconds. */
  readonly idleMs: number;
  readonly subscriptions: number;
  readonly hosts: readonly string[];
}

/** What the sessions of one process share. */
export interface SessionShared extends Pick<SupplyOptions, 'deliveries' | 'written'> {
  readonly limits: SessionLimits;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** What its client has received has grown. */
  onProgress(session: Session): void;
  /** It should end: by what the edge or its feed says, or `undefined` where its client was not heard of for long. */
  onOver(session: Session, why: CloseCode | undefined): void;
}

/** Asking not to wait so many times in a row, from the first connect on, is how a client polls. */
const pollingTurns = 3;

/**
 * A Bayeux session at the instance that has it: who its client is, where it waits, what it is answered and what that
 * says of what it has received. It owns its supply and its timers, and no socket.
 *
 * Without a word of the client nothing is dropped: what was sent stays until a connect proves that it arrived, by the
 * acknowledgement extension or by `proves`.
 */
export class Session implements Connection {
  readonly key: string;
  readonly connection: string;
  /** The client acknowledges batches, so all messages ride on answers to its connects, in order. */
  readonly acks: boolean;
  readonly presences = new Map<string, PresentOn>();
  grant: Grant;
  /** How its owner stops counting it. */
  release: () => void = () => {};
  readonly #shared: SessionShared;
  readonly #supply: Supply;
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
    this.#supply = new Supply(hub, {
      ...{ ...shared, batch },
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

  /** By channel. */
  get subscriptions(): ReadonlyMap<string, Subscription> {
    return this.#supply.subscriptions;
  }

  /** Who resumes all subscriptions from here is given all that has not arrived. Undefined before the first one. */
  get place(): Cursor | undefined {
    return this.#supply.place;
  }

  get batch(): number {
    return this.#supply.unproven.batch;
  }

  /** Goes on where another instance was. @throws PushfleetError as `Feed.add` */
  resume(subscriptions: readonly Subscription[], from: Cursor | undefined): Promise<void> {
    return this.#supply.add(subscriptions, from);
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
    try {
      await this.#supply.add([{ channel, filter, ...(retained && { retained }) }], after);
    } catch (error) {
      this.unsubscribe(channel);
      throw error;
    }
  }

  unsubscribe(channel: string): void {
    this.#supply.remove(channel);
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
    const { unproven } = this.#supply;
    const polling = this.#zeros >= pollingTurns;
    this.#zeros = poll.timeout === 0 ? this.#zeros + 1 : Number.NaN;
    const last = this.#last;
    let acked = -1;
    if (this.acks) acked = unproven.known(poll.ack);
    else if (last !== undefined && proves(poll, last, polling)) acked = unproven.batch;
    if (this.#supply.prove(acked)) this.#shared.onProgress(this);
    // What went out on this very WebSocket behind the last answer is on its way.
    this.#repeat = unproven.size > 0 && (this.acks || poll.way.push === undefined || poll.way !== last?.way);
  }

  /** Sends what there is and may be sent now. */
  #pump(): void {
    if (this.ended || this.expired) return;
    if (this.#way?.push !== undefined && !this.acks) this.#push(this.#way.push);
    else if (this.#held !== undefined) this.#batch();
  }

  /** On a WebSocket messages go out at once, as many as may be unproven; the answer to a connect asks for the proof. */
  #push(push: (texts: readonly string[]) => void): void {
    const { unproven } = this.#supply;
    const { batchCount, batchBytes } = this.#shared.limits;
    if (this.#repeat) push(unproven.texts());
    this.#repeat = false;
    for (let texts = this.#supply.take(); texts !== undefined; texts = this.#supply.take()) {
      if (texts.length > 0) push(texts);
    }
    const much = unproven.bytes >= batchBytes / 2 || unproven.size >= batchCount / 2;
    if (this.#held !== undefined && much) this.#answer([]);
  }

  #batch(): void {
    const texts = this.#repeat ? [...this.#supply.unproven.texts()] : [];
    this.#repeat = false;
    for (let more = this.#supply.take(); more !== undefined; more = this.#supply.take()) texts.push(...more);
    if (texts.length > 0) this.#answer(texts);
  }

  #answer(events: readonly string[]): void {
    const poll = this.#held;
    if (poll === undefined) return;
    this.#held = undefined;
    const batch = this.#supply.unproven.seal();
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
    const last = this.#last;
    const provable = last !== undefined && last.way.push === undefined && !last.receipt.broken;
    this.#handover = this.#supply.close(provable || this.acks ? { id: last?.id } : undefined);
    this.#cancelTimer();
    this.#cancelExpiry();
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
