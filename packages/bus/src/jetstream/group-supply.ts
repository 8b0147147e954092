import { createInbox, type Msg, nanos, type Subscription } from '@nats-io/transport-node';
import { hasConsumer } from './group.ts';
import { statusOf } from './headers.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';
import { rawBlock } from './raw.ts';

/** Small, so that members on other pods get their part of what comes at once. */
const mostPerPull = 64;
/** A pull ends in time, so that one that a dying server has lost is missed soon. */
const pullMs = 5_000;
/** An answer this late behind the end of its pull does not come any more. */
const lateMs = 1_000;
/** A consumer out of reach is asked for again after this. */
const recoverMs = 500;

/** Statuses that end a pull as it is meant to: nothing came in time. */
const over = new Set([404, 408]);

export interface SupplyPlace {
  readonly link: Link;
  readonly log: Log;
  readonly stream: string;
  readonly consumer: string;
}

/** Who takes from a consumer. */
export interface Taker {
  /** How many more it takes at this moment. */
  readonly wanted: number;
  take(message: Msg, reply: string): void;
  /** The consumer is not there. */
  gone(): void;
}

interface Pull {
  readonly token: string;
  /** Messages it may still bring. */
  left: number;
  /** When it counts as lost: Unix time in milliseconds. */
  readonly lostAt: number;
}

/**
 * Pulls from one consumer: one pull at a time, for as much as is wanted. The broker deals to the pulls that wait in
 * turn, those of other processes included. Whatever gets lost, the next `tick` begins anew.
 */
export class GroupSupply {
  readonly #place: SupplyPlace;
  readonly #taker: Taker;
  readonly #inbox = `${createInbox()}.`;
  #subscription: Subscription | undefined;
  #pull: Pull | undefined;
  #pulls = 0;
  #soon: NodeJS.Immediate | undefined;
  /** When the consumer is looked after; it is out of reach until then. */
  #recoverAt: number | undefined;
  #told = false;
  #stopped = false;

  constructor(place: SupplyPlace, taker: Taker) {
    this.#place = place;
    this.#taker = taker;
  }

  /** More may be wanted than before. What one turn of the event loop asks for is one pull. */
  wanted(): void {
    if (this.#pull === undefined && !this.#stopped) this.#soon ??= setImmediate(() => this.#fill());
  }

  /** The connection is back: the broker may have dropped what was asked for. */
  returned(): void {
    this.#pull = undefined;
    this.#fill();
  }

  /** Called every now and then: finds what was lost. */
  tick(now: number): void {
    if (this.#stopped || !this.#place.link.up) return;
    if (this.#recoverAt !== undefined) {
      if (now >= this.#recoverAt) void this.#recover();
      return;
    }
    if (this.#pull !== undefined && now >= this.#pull.lostAt) this.#pull = undefined;
    this.#fill();
  }

  /** The broker hands out nothing more; what it had sent by then is still taken. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearImmediate(this.#soon);
    this.#subscription?.drain().catch(() => {
      // Without a connection nothing is on its way.
    });
  }

  #fill(): void {
    clearImmediate(this.#soon);
    this.#soon = undefined;
    const { link, stream, consumer } = this.#place;
    const batch = Math.min(this.#taker.wanted, mostPerPull);
    if (batch <= 0 || this.#pull !== undefined || this.#recoverAt !== undefined) return;
    if (this.#stopped || !link.up) return;
    const token = (this.#pulls++).toString(36);
    const body = JSON.stringify({ batch, expires: nanos(pullMs) });
    try {
      this.#subscription ??= link.connection.subscribe(`${this.#inbox}*`, {
        callback: (error, message) => {
          if (error === null) this.#receive(message);
        },
      });
      const reply = this.#inbox + token;
      link.connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, body, { reply });
      this.#pull = { token, left: batch, lostAt: Date.now() + pullMs + lateMs };
    } catch {
      // Closed; or lost, and the return of the connection begins anew.
    }
  }

  #receive(message: Msg): void {
    const { reply } = message;
    if (reply === undefined || reply === '') {
      this.#onStatus(message);
      return;
    }
    if (this.#pull !== undefined && --this.#pull.left === 0) this.#pull = undefined;
    this.#taker.take(message, reply);
    if (this.#taker.wanted > 0) this.wanted();
  }

  #onStatus(message: Msg): void {
    const pull = this.#pull;
    if (pull === undefined || message.subject !== this.#inbox + pull.token) return;
    this.#pull = undefined;
    if (over.has(statusOf(rawBlock(message)))) this.#fill();
    else this.#recoverAt = Date.now() + recoverMs * Math.random();
  }

  /** The consumer may be gone, or without a leader. */
  async #recover(): Promise<void> {
    const { link, log, stream, consumer } = this.#place;
    this.#recoverAt = Number.POSITIVE_INFINITY;
    try {
      const isThere = await hasConsumer(link, stream, consumer);
      this.#recoverAt = undefined;
      this.#told = false;
      if (isThere) this.#fill();
      else if (!this.#stopped) this.#taker.gone();
    } catch (error) {
      if (!this.#told) log.warn({ err: error, group: consumer }, 'a group is out of reach; trying on');
      this.#told = true;
      this.#recoverAt = Date.now() + recoverMs * (1 + Math.random());
    }
  }
}
