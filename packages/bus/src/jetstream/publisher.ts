import type { MsgHdrs } from '@nats-io/transport-node';
import {
  type Draft,
  formatCursor,
  limits,
  meanings,
  type Namespace,
  PushfleetError,
  type Stored,
  Succession,
} from '@pushfleet/core';
import { shardOf } from '../shard.ts';
import { type Ack, readAck } from './ack.ts';
import type { Broker } from './broker.ts';
import { Block, headerLine } from './headers.ts';
import { keep, storageFull } from './kept.ts';
import { type Answer, Answers, Lane, type Outgoing, outgoing, refusals } from './outgoing.ts';

export interface PublisherLimits {
  /** Most drafts and bytes accepted and not yet answered. */
  readonly openDrafts: number;
  readonly openBytes: number;
  /** Most drafts waiting in one topic. */
  readonly topicDrafts: number;
  /** Most drafts sent and not yet acknowledged. */
  readonly inFlight: number;
  /**
   * Shortest backlog sent as an atomic batch. A batch costs the broker about 1 ms beside what its drafts cost, one
   * after the other for the whole stream, and a draft alone 15 to 20 µs [measured, nats-server 2.15.1]: small
   * batches of many topics would throttle everybody.
   */
  readonly batchFrom: number;
  /** Largest atomic batch, in bytes. */
  readonly batchBytes: number;
  /** How long a draft is tried, in milliseconds; less where the duplicate window is short. */
  readonly patienceMs: number;
  /**
   * How long a lost connection is waited for before what was never sent is refused, in milliseconds: a restart is
   * waited out, and in a longer outage publishers hear at once that nothing was stored.
   */
  readonly awayMs: number;
  /** How long one attempt waits for its acknowledgement, in milliseconds. */
  readonly attemptMs: number;
}

const publisherLimits: PublisherLimits = {
  openDrafts: 65_536,
  openBytes: 67_108_864,
  topicDrafts: 16_384,
  inFlight: 4_096,
  batchFrom: 64,
  batchBytes: 1_048_576,
  patienceMs: 20_000,
  awayMs: 5_000,
  attemptMs: 3_000,
};

const sweepEveryMs = 100;
/** Without a leader the answer comes at once; asking again at once would only burn. */
const againMs = 150;
/** A batch refused so often for no fault of its drafts goes singly. */
const batchAttempts = 2;

/** One or several drafts of a topic that are stored, or not, together. */
interface Commit {
  readonly lane: Lane;
  readonly items: readonly Outgoing[];
  readonly token: string;
  /** The brokers' time before the first attempt: nothing stored later has an earlier one. */
  readonly time: number;
  readonly deadline: number;
  attempts: number;
  /** When the next attempt begins unless an answer comes: Unix time in milliseconds. */
  nextAttempt: number;
}

/**
 * Puts drafts into the log, in order per topic.
 *
 * A topic has one commit in flight: a draft alone, or its longer backlog as an atomic batch. Topics go side by side.
 * An attempt without an answer is repeated with the same ids until the deadline, which ends before half the
 * duplicate window, while the topic's later drafts wait; so whatever became of the earlier attempt, even one that
 * reaches the log late, the ids make it take effect once and before what follows. For a batch: it is stored as a
 * whole or not at all. If the earlier attempt was stored, the repetition is refused for its duplicate ids and its
 * drafts go singly, each answered as a duplicate with its true sequence. If the repetition was stored, the late
 * first attempt is refused for the same reason.
 */
export class Publisher {
  readonly #broker: Broker;
  readonly #limits: PublisherLimits;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes with drafts and no commit in flight, in the order they became so. */
  readonly #runnable = new Set<Lane>();
  readonly #commits = new Set<Commit>();
  readonly #batchPrefix = crypto.randomUUID().slice(0, 18);
  #batches = 0;
  #inFlight = 0;
  #openDrafts = 0;
  #openBytes = 0;
  #soon: NodeJS.Immediate | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #refusing = false;
  #idle: (() => void)[] = [];

  constructor(broker: Broker, limits: Partial<PublisherLimits> = {}) {
    this.#broker = broker;
    this.#limits = { ...publisherLimits, ...limits };
    broker.bulk.watch((up) => {
      if (!up) return;
      for (const commit of this.#commits) commit.nextAttempt = 0; // what was under way is unknown
      this.#sweep();
      this.#pump();
    });
  }

  /** Settles once each draft is stored or refused. */
  publish(
    namespace: Namespace,
    drafts: readonly Draft[],
    succession = new Succession(),
  ): Promise<readonly Answer[]> {
    const answers = new Answers(drafts.length);
    const now = Date.now();
    for (const [index, draft] of drafts.entries()) {
      const settle = (answer: Answer): void => {
        if (answer instanceof PushfleetError) succession.refused(draft.topic, answer);
        answers.set(index, answer);
      };
      try {
        succession.require(draft.topic);
        this.#enqueue(namespace, draft, now, settle);
      } catch (thrown) {
        settle(PushfleetError.from(thrown));
      }
    }
    this.#pumpSoon();
    return answers.settled;
  }

  /** Refuses what comes and waits until everything accepted is answered, or the signal is aborted. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#refusing = true;
    if (this.#openDrafts === 0 || deadline.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle.push(resolve);
    deadline.addEventListener('abort', () => resolve(), { once: true });
    await promise;
  }

  close(): void {
    this.#refusing = true;
    for (const lane of this.#lanes.values()) {
      for (const { sent, settle } of lane.waiting.splice(0)) settle(refusals.tooLate(sent));
    }
    this.#runnable.clear();
    for (const commit of this.#commits) this.#fail(commit, refusals.uncertain());
    clearInterval(this.#sweeper);
  }

  #enqueue(namespace: Namespace, draft: Draft, now: number, answer: (answer: Answer) => void): void {
    if (this.#refusing) throw refusals.draining();
    const { layout, bulk, duplicateWindowMs } = this.#broker;
    if (bulk.awayMs > this.#limits.awayMs) throw refusals.outOfReach();
    const deadline = now + Math.min(this.#limits.patienceMs, duplicateWindowMs * 0.45);
    const shard = shardOf(draft.topic, layout.shards);
    const item = outgoing(namespace, draft, shard, now, deadline, (given) => {
      this.#openDrafts--;
      this.#openBytes -= item.size;
      answer(given);
      if (this.#openDrafts === 0) for (const resolve of this.#idle.splice(0)) resolve();
    });
    const most = bulk.connection.info?.max_payload ?? limits.payloadBytes;
    if (item.size > most) throw refusals.tooLarge(item.size, most);
    const lane = this.#lanes.get(item.subject) ?? new Lane(item.subject, shard);
    this.#checkRoom(lane, item.size);
    this.#openDrafts++;
    this.#openBytes += item.size;
    lane.waiting.push(item);
    this.#lanes.set(item.subject, lane);
    if (!lane.busy) this.#runnable.add(lane);
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepEveryMs);
  }

  #checkRoom(lane: Lane, size: number): void {
    const { openDrafts, openBytes, topicDrafts } = this.#limits;
    const room = this.#openDrafts < openDrafts && this.#openBytes + size <= openBytes;
    if (room && lane.waiting.length < topicDrafts) return;
    throw this.#broker.bulk.up ? refusals.tooMany() : refusals.outOfReach();
  }

  /**
   * What several calls bring in one turn of the event loop goes out in one write. With a write for each call, 64 HTTP
   * publishers cost the publish service half as much again and the broker more than twice as much [measured].
   */
  #pumpSoon(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#pump();
    });
  }

  #pump(): void {
    if (!this.#broker.bulk.up) return;
    for (const lane of this.#runnable) {
      if (this.#inFlight >= this.#limits.inFlight) return;
      this.#runnable.delete(lane);
      this.#begin(lane);
    }
  }

  #begin(lane: Lane): void {
    const { batchFrom, batchBytes } = this.#limits;
    this.#giveUp(lane, Date.now());
    const items = lane.take(batchFrom, limits.batchDrafts, batchBytes);
    const first = items[0];
    if (first === undefined) return;
    lane.busy = true;
    this.#inFlight += items.length;
    const commit: Commit = {
      lane,
      items,
      token: this.#broker.bulk.replies.open((message) => this.#onAnswer(commit, readAck(message))),
      time: this.#broker.now(),
      deadline: first.deadline,
      attempts: 0,
      nextAttempt: 0,
    };
    this.#commits.add(commit);
    this.#send(commit);
  }

  #send(commit: Commit): void {
    const { items, token } = commit;
    const { bulk } = this.#broker;
    commit.attempts++;
    commit.nextAttempt = Date.now() + this.#limits.attemptMs;
    const reply = bulk.replies.subject(token);
    const batch = items.length > 1 ? `${this.#batchPrefix}${(this.#batches++).toString(36)}` : undefined;
    try {
      for (const [index, item] of items.entries()) {
        const { subject, draft, lines } = item;
        item.sent = true;
        const last = index === items.length - 1;
        const membership = batch === undefined ? '' : batchLines(batch, index + 1, last);
        const headers = new Block(lines + membership) as unknown as MsgHdrs;
        bulk.connection.publish(subject, draft.payload, last ? { headers, reply } : { headers });
      }
    } catch {
      // Closed, or the server now takes less than when the draft was measured: the deadline decides.
    }
  }

  #onAnswer(commit: Commit, ack: Ack): void {
    if (ack.kind === 'stored' && ack.count === commit.items.length) this.#store(commit, ack);
    else if (commit.items.length > 1) this.#onBatchRefused(commit, ack);
    else if (ack.kind === 'refused') this.#fail(commit, refusalOf(commit, ack));
    else commit.nextAttempt = Date.now() + againMs;
  }

  #onBatchRefused(commit: Commit, ack: Ack): void {
    if (ack.kind === 'refused' && ack.code === 'storage_full') {
      this.#fail(commit, storageFull('publications'));
    } else if (ack.kind === 'duplicate_inside' || commit.attempts >= batchAttempts) {
      commit.lane.giveBack(commit.items);
      this.#release(commit);
    } else {
      commit.nextAttempt = Date.now() + againMs;
    }
  }

  #store(commit: Commit, ack: Ack & { kind: 'stored' }): void {
    const { items, lane } = commit;
    const first = ack.sequence - items.length + 1;
    const newest = items.findLastIndex(({ draft }) => draft.retain === true);
    const kept = newest < 0 ? undefined : this.#keep(items[newest] as Outgoing, first + newest);
    // What an earlier attempt of our own stored is no duplicate to the caller.
    const duplicate = ack.duplicate && commit.attempts === 1;
    const time = ack.duplicate ? commit.time - this.#broker.duplicateWindowMs : commit.time;
    this.#release(commit);
    for (const [index, { draft, settle }] of items.entries()) {
      const cursor = formatCursor(this.#broker.placeOf(lane.shard, first + index, Math.max(0, time)));
      const stored: Stored = { id: draft.id, topic: draft.topic, cursor, duplicate };
      if (draft.retain !== true || kept === undefined) settle(stored);
      else void kept.then((error) => settle(error ?? stored));
    }
  }

  /** Resolves with what went wrong: a draft to be retained is acknowledged only when its copy, or a newer one, is kept. */
  async #keep({ namespace, draft, shard }: Outgoing, sequence: number): Promise<PushfleetError | undefined> {
    try {
      await keep(this.#broker, namespace, draft, sequence, shard);
      return undefined;
    } catch (error) {
      return refusals.notKept(PushfleetError.from(error));
    }
  }

  /** @param behind what those are told that were never sent */
  #fail(commit: Commit, error: PushfleetError, behind = error): void {
    // What waits behind one that may be sent again came with it or later, and would overtake it.
    const waiting = meanings[error.code].retry ? commit.lane.waiting.splice(0) : [];
    this.#release(commit);
    for (const { settle } of commit.items) settle(error);
    for (const { sent, settle } of waiting) settle(sent ? refusals.uncertain() : behind);
  }

  #release(commit: Commit): void {
    const { lane } = commit;
    if (!this.#commits.delete(commit)) return;
    this.#broker.bulk.replies.close(commit.token);
    this.#inFlight -= commit.items.length;
    lane.busy = false;
    if (lane.waiting.length > 0) this.#runnable.add(lane);
    else this.#lanes.delete(lane.subject);
    this.#pump();
  }

  /** Refuses what has waited too long in a lane; while the log is away that is all of which nothing can be stored. */
  #giveUp(lane: Lane, now: number, away = false): void {
    for (const { sent, settle } of lane.takeExpired(now)) settle(refusals.tooLate(sent));
    if (away) for (const { settle } of lane.takeUnsent()) settle(refusals.outOfReach());
  }

  /** One timer for all: repeats attempts without an answer and gives up what is past its deadline. */
  #sweep(): void {
    const now = Date.now();
    for (const commit of this.#commits) {
      if (now >= commit.deadline) this.#fail(commit, refusals.uncertain(), refusals.outOfReach());
      else if (now >= commit.nextAttempt && this.#broker.bulk.up) this.#send(commit);
    }
    const away = this.#broker.bulk.awayMs > this.#limits.awayMs;
    for (const lane of this.#lanes.values()) {
      this.#giveUp(lane, now, away);
      if (lane.waiting.length > 0 || lane.busy) continue;
      this.#lanes.delete(lane.subject);
      this.#runnable.delete(lane);
    }
    if (this.#lanes.size > 0 || this.#commits.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}

/** nats-server ADR-50. */
function batchLines(id: string, sequence: number, last: boolean): string {
  const membership = headerLine('Nats-Batch-Id', id) + headerLine('Nats-Batch-Sequence', sequence);
  return last ? membership + headerLine('Nats-Batch-Commit', 1) : membership;
}

function refusalOf({ items }: Commit, ack: Ack & { kind: 'refused' }): PushfleetError {
  if (ack.code === 'storage_full') return storageFull('publications');
  if (ack.code === 'payload_too_large') return refusals.tooLarge(items[0]?.size ?? 0, limits.payloadBytes);
  return refusals.refused(ack.why);
}
