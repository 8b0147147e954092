import { createInbox, type Msg, nanos, type Subscription } from '@nats-io/transport-node';
import type { Taken } from '../queue.ts';
import { doubtMs, type QueueTerms, queueLimits } from '../queue-rules.ts';
import { BrokerLines, statusOf } from './headers.ts';
import { type Link, unavailable } from './link.ts';
import type { Log } from './log.ts';
import { type Hands, HeldEntry, verdicts } from './queue-entry.ts';
import { rawBlock } from './raw.ts';

/** One owner at a time (priority groups, nats-server ADR-42). */
const group = 'owner';
/** An answer this late behind the end of its pull does not come any more. */
const lateMs = 2_000;
/** A consumer out of reach is asked again after this. */
const recoverMs = 500;
/** How long `stop` waits for what is still on its way. */
const drainMs = 1_000;

/** Statuses that end a pull as it is meant to: nothing came in time. */
const over = new Set([404, 408]);
const wrongPin = 423;

export interface SlotPlace {
  readonly link: Link;
  readonly log: Log;
  readonly stream: string;
  readonly consumer: string;
  /** The subject of the slot's entries. */
  readonly subject: string;
  readonly terms: QueueTerms;
  /** Answers the broker, or keeps the answer until it is back. */
  readonly answer: (reply: string, verdict: string) => void;
}

interface Pull {
  readonly token: string;
  /** Entries it may still bring. */
  left: number;
  /** When it counts as lost: Unix time in milliseconds. */
  readonly lostAt: number;
  readonly sentAt: number;
  /** It was sent without a pin: the first entry names ours. */
  readonly unpinned: boolean;
}

/**
 * Takes the entries of one slot: one pull at a time, for as many as hands are free. The pull ends in time, so that
 * the pin, which names the owner, is renewed and a lost one found; whatever gets lost, the next `tick` begins anew.
 */
export class SlotOwner implements Hands {
  readonly #place: SlotPlace;
  readonly #most: number;
  readonly #on: (taken: Taken) => void;
  readonly #onLost: () => void;
  /** In hand, those first whose term ends first. */
  readonly #held = new Set<HeldEntry>();
  #inbox = '';
  #supply: Subscription | undefined;
  #pull: Pull | undefined;
  #pulls = 0;
  #pulledAt = 0;
  #pin: string | undefined;
  /** When the broker knew this as the owner for certain, Unix time in milliseconds; undefined where it may not. */
  #ownedAt: number | undefined;
  #soon: NodeJS.Immediate | undefined;
  /** When the consumer is looked after; it is out of reach until then. */
  #recoverAt: number | undefined;
  #told = false;
  #stopped = false;

  constructor(place: SlotPlace, most: number, on: (taken: Taken) => void, onLost: () => void) {
    this.#place = place;
    this.#most = most;
    this.#on = on;
    this.#onLost = onLost;
  }

  /** @throws PushfleetError `unavailable` where the consumer cannot be made now */
  async begin(): Promise<void> {
    await ensureConsumer(this.#place);
    this.renewSupply();
  }

  /** Hands out nothing more and passes the slot on; what is in hand can still be answered. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearImmediate(this.#soon);
    const { link, stream, consumer } = this.#place;
    try {
      // What the broker sent before it hears of this is given back as it comes.
      await Promise.race([this.#supply?.drain(), new Promise((end) => setTimeout(end, drainMs).unref())]);
      if (this.#pin === undefined) return;
      await link.request(`$JS.API.CONSUMER.UNPIN.${stream}.${consumer}`, JSON.stringify({ group }));
    } catch {
      // Unreachable: the pin lapses, and what was on its way comes back when its term ends.
    }
  }

  /** What an earlier pull may still bring must not come beside what a new one brings: it goes to an inbox of its own. */
  renewSupply(): void {
    const { link } = this.#place;
    if (this.#stopped || !link.up) return;
    this.#supply?.unsubscribe();
    this.#inbox = `${createInbox()}.`;
    this.#pull = undefined;
    this.#supply = link.connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#receive(message);
      },
    });
    this.#fill();
  }

  /** Called every now and then: finds what was lost, and keeps the slot while all hands are full. */
  tick(now: number): void {
    for (const entry of this.#held) {
      if (entry.endsAt > now) break;
      this.release(entry);
    }
    if (this.#ownedAt !== undefined && now - this.#ownedAt >= doubtMs(this.#place.terms)) this.#lose();
    if (!this.#place.link.up || this.#stopped) return;
    if (this.#recoverAt !== undefined) {
      if (now >= this.#recoverAt) void this.#recover();
    } else if (this.#pull !== undefined) {
      if (now >= this.#pull.lostAt) this.renewSupply();
    } else if (this.#held.size < this.#most) {
      this.#fill();
    } else if (this.#pin !== undefined && now - this.#pulledAt >= this.#place.terms.silenceMs / 3) {
      this.#send('pin', { batch: 1, max_bytes: 1, expires: nanos(1) }); // nothing fits into it
    }
  }

  answer(reply: string, verdict: string): void {
    this.#place.answer(reply, verdict);
  }

  release(entry: HeldEntry): boolean {
    if (!this.#held.delete(entry)) return false;
    // What is freed in one turn of the event loop is one pull.
    if (this.#pull === undefined && !this.#stopped) this.#soon ??= setImmediate(() => this.#fill());
    return true;
  }

  renew(entry: HeldEntry): boolean {
    if (!this.#held.delete(entry)) return false;
    entry.endsAt = Date.now() + this.#place.terms.termMs;
    this.#held.add(entry);
    return true;
  }

  #fill(): void {
    clearImmediate(this.#soon);
    this.#soon = undefined;
    const free = this.#most - this.#held.size;
    if (free <= 0 || this.#pull !== undefined || this.#recoverAt !== undefined) return;
    if (this.#stopped || !this.#place.link.up) return;
    const ms = this.#place.terms.silenceMs * 0.6;
    this.#pull = {
      token: (this.#pulls++).toString(36),
      left: free,
      lostAt: Date.now() + ms + lateMs,
      sentAt: Date.now(),
      unpinned: this.#pin === undefined,
    };
    this.#send(this.#pull.token, { batch: free, expires: nanos(ms) });
  }

  #send(token: string, pull: object): void {
    const { link, stream, consumer } = this.#place;
    this.#pulledAt = Date.now();
    const body = JSON.stringify({ ...pull, group, ...(this.#pin === undefined ? {} : { id: this.#pin }) });
    try {
      const reply = this.#inbox + token;
      link.connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, body, { reply });
    } catch {
      // Closed; or lost, and the return of the connection begins anew.
    }
  }

  #receive(message: Msg): void {
    const { reply } = message;
    if (reply === undefined || reply === '') this.#onStatus(message);
    else if (this.#stopped) {
      // The first that comes makes this the owner, also when it is on its way out.
      this.#pin ??= pinOf(message);
      this.#place.answer(reply, verdicts.back);
    } else this.#take(message, reply);
  }

  #take(message: Msg, reply: string): void {
    const pull = this.#pull;
    if (pull?.unpinned) this.#pin = pinOf(message) ?? this.#pin;
    if (pull !== undefined && --pull.left === 0) this.#pull = undefined;
    const now = Date.now();
    this.#ownedAt = now;
    const entry = new HeldEntry(this, reply, message.data, now + this.#place.terms.termMs);
    this.#held.add(entry);
    this.#on(entry);
    if (this.#pull === undefined && this.#held.size < this.#most)
      this.#soon ??= setImmediate(() => this.#fill());
  }

  #onStatus(message: Msg): void {
    const status = statusOf(rawBlock(message));
    if (status === wrongPin) {
      this.#pin = undefined;
      this.#lose();
    } else if (message.subject === `${this.#inbox}pin`) this.#confirm(this.#pulledAt);
    const pull = this.#pull;
    if (pull === undefined || message.subject !== this.#inbox + pull.token) return;
    if (over.has(status)) this.#confirm(pull.sentAt);
    this.#pull = undefined;
    if (over.has(status) || status === wrongPin) this.#fill();
    else this.#recoverAt = Date.now() + recoverMs * Math.random();
  }

  /** The broker took a question of the owner for its own then. */
  #confirm(at: number): void {
    if (this.#ownedAt !== undefined) this.#ownedAt = Math.max(this.#ownedAt, at);
  }

  #lose(): void {
    if (this.#ownedAt === undefined) return;
    this.#ownedAt = undefined;
    this.#onLost();
  }

  /** The consumer may be gone, or without a leader. */
  async #recover(): Promise<void> {
    this.#recoverAt = Number.POSITIVE_INFINITY;
    try {
      await ensureConsumer(this.#place);
      this.#recoverAt = undefined;
      this.#told = false;
      this.renewSupply();
    } catch (error) {
      if (!this.#told)
        this.#place.log.warn(
          { err: error, slot: this.#place.consumer },
          'a slot of a queue is out of reach; trying on',
        );
      this.#told = true;
      this.#recoverAt = Date.now() + recoverMs * (1 + Math.random());
    }
  }
}

const pinOf = (message: Msg): string | undefined => new BrokerLines(rawBlock(message)).get('Nats-Pin-Id');

/** Makes the slot's consumer where there is none. */
async function ensureConsumer({ link, stream, consumer, subject, terms }: SlotPlace): Promise<void> {
  const config = {
    durable_name: consumer,
    filter_subject: subject,
    ack_policy: 'explicit',
    ack_wait: nanos(terms.termMs),
    max_ack_pending: queueLimits.inHand,
    priority_groups: [group],
    priority_policy: 'pinned_client',
    priority_timeout: nanos(terms.silenceMs),
  };
  const body = JSON.stringify({ stream_name: stream, config });
  const answer = await link.request(`$JS.API.CONSUMER.CREATE.${stream}.${consumer}.${subject}`, body);
  const { error } = answer.json<{ error?: { description?: string } }>();
  if (error !== undefined) {
    throw unavailable(`The queue cannot be taken from: ${error.description ?? 'no reason given'}.`);
  }
}
