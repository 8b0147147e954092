import { setTimeout as sleep } from 'node:timers/promises';
import { createInbox, type Msg, nanos, type Subscription } from '@nats-io/transport-node';
import type { TailPlace } from '../tail-reading.ts';
import { type ApiFailure, refusal, streamInfo } from './api.ts';
import type { Broker } from './broker.ts';
import { statusOf } from './headers.ts';
import type { Log } from './log.ts';
import { rawBlock } from './raw.ts';
import { positionAt } from './resume.ts';

/** Most messages and bytes of one batch; one more is on its way while it is worked on. */
const batchCount = 256;
const batchBytes = 4_194_304;

const heartbeatMs = 1_000;
/** The broker was silent for so long: what it keeps for us is lost. */
const silenceMs = 3_000;
const pullMs = 30_000;
const checkEveryMs = 500;
/** The log is known to be ahead, and nothing came for so long: whatever the reason, ask anew. */
const behindMs = 5_000;
/** Shortest time between two consumers, in milliseconds. */
const renewEveryMs = 500;
/** A consumer whose reader is gone goes too. */
const inactiveMs = 10_000;

/** A message of the log, not decoded. */
export interface RawMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly time: number;
  readonly block: Uint8Array;
  readonly payload: Uint8Array;
}

/** Where a message stands in the stream, and among what the consumer delivered. */
interface Delivery {
  readonly sequence: number;
  readonly delivered: number;
  readonly time: number;
}

/** One consumer's life: what comes from an earlier one is not ours any more. */
interface Term {
  readonly name: string;
  readonly inbox: string;
  readonly interest: Subscription;
  /** Messages delivered so far; the broker counts along. */
  delivered: number;
  pulls: number;
  /** How many messages the open pull may still bring; 0: none is open. */
  open: number;
}

/**
 * The messages of a shard's stream behind a position, in order and without a hole: pulled from a consumer that
 * acknowledges nothing and that the broker keeps in memory. The broker numbers what it delivers, so a loss shows; it
 * sends heartbeats, so silence shows. Against everything there is one remedy: a new consumer right behind what came.
 */
export class ShardFeed {
  readonly #broker: Broker;
  readonly #log: Log;
  readonly #shard: number;
  readonly #stream: string;
  readonly #checker: NodeJS.Timeout;
  #arrived: RawMessage[] = [];
  #place: TailPlace;
  #term: Term | undefined;
  #renewing = false;
  #renewedAt = 0;
  #heardAt = Date.now();
  #messageAt = Date.now();
  /** So far the log was when the consumer was made that has brought nothing since. */
  #checkedUntil = 0;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(broker: Broker, log: Log, shard: number, place: TailPlace) {
    this.#broker = broker;
    this.#log = log;
    this.#shard = shard;
    this.#stream = broker.stream(shard);
    this.#place = place;
    this.#checker = setInterval(() => this.#check(), checkEveryMs).unref();
    void this.#renew();
  }

  /** What has arrived, at least one message, in order; undefined once it is closed. */
  async next(): Promise<readonly RawMessage[] | undefined> {
    while (this.#arrived.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#closed) return undefined;
    const taken = this.#arrived;
    this.#arrived = [];
    this.#pull();
    return taken;
  }

  /** The connection is back: what the broker kept for the old one may be gone. */
  reconnected(): void {
    void this.#renew();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#checker);
    this.#end();
    this.#wake?.();
  }

  async #renew(): Promise<void> {
    if (this.#renewing || this.#closed) return;
    this.#renewing = true;
    this.#end();
    while (!this.#closed && this.#term === undefined) {
      await sleep(Math.max(0, this.#renewedAt + renewEveryMs - Date.now()), undefined, { ref: false });
      this.#renewedAt = Date.now();
      try {
        await this.#begin();
      } catch (error) {
        this.#log.warn({ err: error, shard: this.#shard }, 'the log cannot be read on; trying again');
      }
    }
    this.#renewing = false;
    this.#pull();
  }

  async #begin(): Promise<void> {
    const { bulk } = this.#broker;
    const view = await streamInfo(bulk, this.#stream);
    if (this.#place.position > view.lastSequence) {
      // The log has lost its end, as after a restored backup: read on by time.
      const position = await positionAt(this.#broker, this.#shard, view, this.#place.time);
      this.#place = { ...this.#place, position };
    }
    const name = `pushfleet_tail_${crypto.randomUUID().slice(0, 18)}`;
    const config = {
      name,
      deliver_policy: 'by_start_sequence',
      opt_start_seq: this.#place.position + 1,
      ack_policy: 'none',
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(inactiveMs),
    };
    const body = JSON.stringify({ stream_name: this.#stream, config });
    const answer = await bulk.request(`$JS.API.CONSUMER.CREATE.${this.#stream}.${name}`, body);
    const { error } = answer.json<{ error?: ApiFailure }>();
    if (error !== undefined) throw refusal(this.#stream, error);
    if (this.#closed) return;
    this.#checkedUntil = view.lastSequence;
    this.#messageAt = Date.now();
    this.#open(name);
  }

  #open(name: string): void {
    const inbox = createInbox();
    const interest = this.#broker.bulk.connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error === null && this.#term === term) this.#take(term, message);
      },
    });
    const term: Term = { name, inbox, interest, delivered: 0, pulls: 0, open: 0 };
    this.#term = term;
  }

  #end(): void {
    const term = this.#term;
    this.#term = undefined;
    if (term === undefined) return;
    try {
      term.interest.unsubscribe();
      this.#broker.bulk.connection.publish(`$JS.API.CONSUMER.DELETE.${this.#stream}.${term.name}`);
    } catch {
      // Closed; the consumer goes by itself.
    }
  }

  /** Asks for the next batch, once what was asked for has come and was taken. */
  #pull(): void {
    const term = this.#term;
    if (term === undefined || term.open > 0 || this.#arrived.length > 0 || this.#closed) return;
    term.open = batchCount;
    this.#heardAt = Date.now();
    const question = {
      batch: batchCount,
      max_bytes: batchBytes,
      expires: nanos(pullMs),
      idle_heartbeat: nanos(heartbeatMs),
    };
    try {
      const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${term.name}`;
      const reply = `${term.inbox}.${++term.pulls}`;
      this.#broker.bulk.connection.publish(subject, JSON.stringify(question), { reply });
    } catch {
      // Closed; or found by the silence.
    }
  }

  #take(term: Term, message: Msg): void {
    this.#heardAt = Date.now();
    const block = rawBlock(message);
    const at = placeOf(message.reply);
    if (at === undefined) this.#onStatus(term, message, block);
    else if (at.delivered !== term.delivered + 1 || at.sequence <= this.#place.position) void this.#renew();
    else this.#keep(term, message, block, at);
  }

  #keep(term: Term, message: Msg, block: Uint8Array, { sequence, time }: Delivery): void {
    term.delivered++;
    term.open--;
    this.#messageAt = this.#heardAt;
    this.#place = { position: sequence, time };
    const { subject, data: payload } = message;
    this.#arrived.push({ subject, sequence, time, block, payload });
    this.#tell();
  }

  #onStatus(term: Term, message: Msg, block: Uint8Array): void {
    const status = statusOf(block);
    if (message.subject !== `${term.inbox}.${term.pulls}` || status === heartbeat) return;
    const over = status === timedOut || status === notNow || /batch completed|maxbytes/i.test(textOf(block));
    term.open = 0;
    if (over) this.#pull();
    else void this.#renew();
  }

  /** What came in one piece off the wire is handed over in one. */
  #tell(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    if (wake !== undefined) setImmediate(wake);
  }

  #check(): void {
    const term = this.#term;
    if (term === undefined || !this.#broker.bulk.up) return;
    const now = Date.now();
    const silent = term.open > 0 && now - this.#heardAt > silenceMs;
    const ahead = this.#broker.lastKnown(this.#shard) > Math.max(this.#place.position, this.#checkedUntil);
    const stuck = ahead && this.#arrived.length === 0 && now - this.#messageAt > behindMs;
    if (silent || stuck) void this.#renew();
  }
}

/** nats-server's statuses of a pull. */
const heartbeat = 100;
const notNow = 404;
const timedOut = 408;

const textOf = (block: Uint8Array): string =>
  Buffer.from(block.buffer, block.byteOffset, block.byteLength).toString('latin1');

/**
 * Where a message stands, from its reply subject: `$JS.ACK.` and, in the longer form, a domain and an account;
 * then stream, consumer, deliveries, stream sequence, consumer sequence, nanoseconds, pending. Undefined for a status.
 */
function placeOf(reply: string | undefined): Delivery | undefined {
  if (reply === undefined || !reply.startsWith('$JS.ACK.')) return undefined;
  const tokens = reply.split('.');
  const at = tokens.length > 9 ? 7 : 5;
  const nanoseconds = tokens[at + 2] ?? '';
  return {
    sequence: Number(tokens[at]),
    delivered: Number(tokens[at + 1]),
    time: Number(nanoseconds.slice(0, -6)),
  };
}
