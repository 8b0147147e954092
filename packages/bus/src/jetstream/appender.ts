import type { MsgHdrs } from '@nats-io/transport-node';
import { limits, type PushfleetError } from '@pushfleet/core';
import { type Ack, readAck } from './ack.ts';
import { Block, headerLine } from './headers.ts';
import type { Link } from './link.ts';
import { type Call, type Item, itemOf, type Parcel, refusals } from './parcel.ts';

export interface AppenderTerms {
  /** How long a parcel is tried, in milliseconds; less than half the broker's duplicate window. */
  readonly patienceMs: number;
  /** How long one attempt waits for its acknowledgements, in milliseconds. */
  readonly attemptMs: number;
  /** From this many parcels accepted and not yet stored on, and this many bytes, no more are taken. */
  readonly openParcels: number;
  readonly openBytes: number;
}

const appenderTerms: AppenderTerms = {
  patienceMs: 20_000,
  attemptMs: 3_000,
  openParcels: 65_536,
  openBytes: 67_108_864,
};

/** Most parcels of a round, and bytes. */
const roundParcels = limits.batchDrafts;
const roundBytes = 1_048_576;
/**
 * Where of so many that wait fewer have subjects of their own, they go as an atomic batch. Singly they would go one
 * after the other; but side by side single ones cost the broker less than a batch [measured, nats-server 2.15.1].
 */
const batchFrom = 32;
/** A batch refused so often for no fault of its parcels goes singly. */
const batchAttempts = 2;
const sweepEveryMs = 100;
/** Without a leader the answer comes at once; asking again at once would only burn. */
const againMs = 150;

/** What is under way: parcels of different subjects, or one atomic batch. */
interface Round {
  readonly items: readonly Item[];
  readonly batch: boolean;
  /** Not acknowledged yet. */
  readonly waiting: Set<Item>;
  readonly deadline: number;
  attempts: number;
  /** When what waits is sent again: Unix time in milliseconds. */
  nextAttempt: number;
}

/**
 * Appends to one stream, in the order in which it is called: round after round, each of what has gathered
 * meanwhile. Within a round no subject comes twice, or all of it is one atomic batch; an attempt without an answer is
 * repeated with the same ids. So whatever gets lost or comes late, what is stored of a subject keeps its order.
 */
export class Appender {
  readonly #link: Link;
  readonly #terms: AppenderTerms;
  readonly #batchPrefix = crypto.randomUUID().slice(0, 18);
  #queue: Item[] = [];
  /** So many from the front go singly: as a batch they were refused. */
  #singly = 0;
  #openParcels = 0;
  #openBytes = 0;
  #batches = 0;
  #round: Round | undefined;
  #soon: NodeJS.Immediate | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(link: Link, terms: Partial<AppenderTerms> = {}) {
    this.#link = link;
    this.#terms = { ...appenderTerms, ...terms };
    link.watch((up) => {
      if (up && this.#round !== undefined) this.#send(this.#round); // what was under way is unknown
    });
  }

  /**
   * Settles once all are stored; gives their sequences, and for a duplicate that of the first.
   *
   * @param windowMs the stream's duplicate window, in milliseconds
   * @throws PushfleetError `unavailable`, `storage_full`, `payload_too_large`
   */
  append(parcels: readonly Parcel[], windowMs: number): Promise<readonly number[]> {
    if (parcels.length === 0) return Promise.resolve([]);
    const { promise, resolve, reject } = Promise.withResolvers<readonly number[]>();
    const call: Call = {
      sequences: new Array<number>(parcels.length),
      open: parcels.length,
      resolve,
      reject,
    };
    const deadline = Date.now() + Math.min(this.#terms.patienceMs, windowMs * 0.45);
    const items = parcels.map((parcel, index) => itemOf(parcel, call, index, deadline));
    this.#checkRoom(items);
    for (const item of items) this.#queue.push(item);
    this.#openParcels += items.length;
    this.#openBytes += items.reduce((sum, { size }) => sum + size, 0);
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepEveryMs);
    // What several calls bring in one turn of the event loop goes out in one write.
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      if (this.#round === undefined) this.#begin();
    });
    return promise;
  }

  /** Rejects what is not stored. */
  close(): void {
    this.#fail(refusals.uncertain());
  }

  #checkRoom(items: readonly Item[]): void {
    const { openParcels, openBytes } = this.#terms;
    if (this.#openParcels >= openParcels || this.#openBytes >= openBytes) throw refusals.tooMany();
    const most = this.#link.connection.info?.max_payload ?? limits.payloadBytes;
    const large = items.find(({ size }) => size > most);
    if (large !== undefined) throw refusals.tooLarge(large.size, most);
  }

  #begin(): void {
    const apart = this.#lengthApart();
    const batch = this.#singly === 0 && this.#queue.length >= batchFrom && apart < batchFrom;
    const items = this.#queue.splice(0, batch ? this.#lengthWithin(roundParcels) : apart);
    const [first] = items;
    if (first === undefined) return;
    if (!batch) this.#singly = Math.max(0, this.#singly - items.length);
    this.#round = {
      items,
      batch: batch && items.length > 1,
      waiting: new Set(items),
      deadline: first.deadline,
      attempts: 0,
      nextAttempt: 0,
    };
    this.#send(this.#round);
  }

  /** How many from the front fit into a round. */
  #lengthWithin(most: number): number {
    let bytes = 0;
    const length = Math.min(most, this.#queue.length);
    for (let count = 0; count < length; count++) {
      bytes += this.#queue[count]?.size ?? 0;
      if (bytes > roundBytes && count > 0) return count;
    }
    return length;
  }

  /** How many of them, from the front, before a subject comes again. */
  #lengthApart(): number {
    const subjects = new Set<string>();
    const most = this.#lengthWithin(roundParcels);
    for (let count = 0; count < most; count++) {
      const { subject } = this.#queue[count] as Item;
      if (subjects.has(subject)) return count;
      subjects.add(subject);
    }
    return most;
  }

  #send(round: Round): void {
    round.attempts++;
    round.nextAttempt = Date.now() + this.#terms.attemptMs;
    if (!this.#link.up) return;
    try {
      if (round.batch) this.#sendBatch(round);
      else for (const item of round.waiting) this.#sendOne(round, item);
    } catch {
      // Closed, or the server now takes less than when the parcel was measured: the deadline decides.
    }
  }

  #sendOne(round: Round, item: Item): void {
    const { replies, connection } = this.#link;
    if (item.token === '') item.token = replies.open((message) => this.#onOne(round, item, readAck(message)));
    const headers = new Block(item.lines) as unknown as MsgHdrs;
    connection.publish(item.subject, item.payload, { headers, reply: replies.subject(item.token) });
  }

  #sendBatch(round: Round): void {
    const { replies, connection } = this.#link;
    const { items } = round;
    const id = headerLine('Nats-Batch-Id', `${this.#batchPrefix}${(this.#batches++).toString(36)}`);
    const first = items[0] as Item;
    if (first.token === '') first.token = replies.open((message) => this.#onBatch(round, readAck(message)));
    for (const [index, { subject, payload, lines }] of items.entries()) {
      const place = `${lines}${id}Nats-Batch-Sequence: ${index + 1}\r\n`;
      const last = index === items.length - 1;
      const headers = new Block(
        last ? place + headerLine('Nats-Batch-Commit', 1) : place,
      ) as unknown as MsgHdrs;
      connection.publish(
        subject,
        payload,
        last ? { headers, reply: replies.subject(first.token) } : { headers },
      );
    }
  }

  #onOne(round: Round, item: Item, ack: Ack): void {
    if (ack.kind === 'stored') this.#settle(round, item, ack.sequence);
    else if (ack.kind === 'refused') this.#fail(refusals.refused(ack));
    else round.nextAttempt = Math.min(round.nextAttempt, Date.now() + againMs);
  }

  #onBatch(round: Round, ack: Ack): void {
    const { items } = round;
    if (ack.kind === 'stored' && ack.count === items.length) {
      const first = ack.sequence - items.length + 1;
      for (const [index, item] of items.entries()) this.#settle(round, item, first + index);
    } else if (ack.kind === 'refused' && ack.code === 'storage_full') {
      this.#fail(refusals.refused(ack));
    } else if (ack.kind === 'duplicate_inside' || round.attempts >= batchAttempts) {
      this.#split(round);
    } else {
      round.nextAttempt = Date.now() + againMs;
    }
  }

  /** Back to the front, to go one by one. */
  #split(round: Round): void {
    for (const item of round.items) this.#release(item);
    this.#queue.unshift(...round.items);
    this.#singly += round.items.length;
    this.#round = undefined;
    this.#begin();
  }

  #settle(round: Round, item: Item, sequence: number): void {
    if (!round.waiting.delete(item)) return;
    this.#release(item);
    this.#openParcels--;
    this.#openBytes -= item.size;
    const { call } = item;
    call.sequences[item.index] = sequence;
    if (--call.open === 0) call.resolve(call.sequences);
    if (round.waiting.size > 0 || this.#round !== round) return;
    this.#round = undefined;
    this.#begin();
  }

  #release(item: Item): void {
    if (item.token !== '') this.#link.replies.close(item.token);
    item.token = '';
  }

  /** Whatever waits came with what failed, or later, and would overtake it when that is appended again. */
  #fail(error: PushfleetError): void {
    const items = [...(this.#round?.waiting ?? []), ...this.#queue];
    this.#round = undefined;
    this.#queue = [];
    this.#singly = 0;
    this.#openParcels = 0;
    this.#openBytes = 0;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
    for (const item of items) {
      this.#release(item);
      item.call.reject(error);
    }
  }

  /** One timer for all: repeats attempts without an answer and gives up what is past its deadline. */
  #sweep(): void {
    const now = Date.now();
    const round = this.#round;
    if (round === undefined) {
      if (this.#queue.length > 0) return;
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    } else if (now >= round.deadline) {
      this.#fail(refusals.uncertain());
    } else if (now >= round.nextAttempt && this.#link.up) {
      this.#send(round);
    }
  }
}
