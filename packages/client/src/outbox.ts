import { Backoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import type { Draft } from './draft.ts';
import { PushfleetError } from './errors.ts';
import type { Receipt } from './fleet.ts';

/** Most publications that are under way at a time. */
const mostSending = 8;
/** How long one attempt may take, in milliseconds. */
const callMs = 10_000;

export interface OutboxOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly count: number;
  readonly bytes: number;
  readonly patienceMs: number;
  /** Tries once, however long it takes. Rejects with a PushfleetError; `retryable` is tried again. */
  send(draft: Draft): Promise<Receipt>;
}

interface Entry {
  readonly draft: Draft;
  readonly endsAt: number;
  readonly backoff: Backoff;
  /** A send that was given up is not heard any more; below zero it has its answer. */
  turn: number;
  resolve(receipt: Receipt): void;
  reject(error: PushfleetError): void;
}

/**
 * Publications that have no answer yet. One of a topic is under way at a time: a retry would otherwise be stored behind
 * what was sent after it.
 */
export class Outbox {
  readonly #o: OutboxOptions;
  /** By topic, the oldest first. */
  readonly #topics = new Map<string, Entry[]>();
  /** Topics that may send, in turn. */
  readonly #ready: string[] = [];
  #sending = 0;
  #count = 0;
  #bytes = 0;
  #closed = false;
  #onEmpty: () => void = () => {};

  constructor(options: OutboxOptions) {
    this.#o = options;
  }

  /** @throws PushfleetError */
  add(draft: Draft): Promise<Receipt> {
    const { clock, count, bytes, patienceMs, random } = this.#o;
    if (this.#closed) return Promise.reject(new PushfleetError('closed', 'It was closed.'));
    if (this.#count >= count || (this.#count > 0 && this.#bytes + draft.size > bytes)) {
      const detail = 'Too many publications wait.';
      return Promise.reject(new PushfleetError('queue_full', detail));
    }
    this.#count++;
    this.#bytes += draft.size;
    return new Promise((resolve, reject) => {
      const endsAt = clock.now() + patienceMs;
      const entry = { draft, endsAt, backoff: new Backoff(random), turn: 0, resolve, reject };
      const queue = this.#topics.get(draft.topic);
      if (queue !== undefined) queue.push(entry);
      else {
        this.#topics.set(draft.topic, [entry]);
        this.#ready.push(draft.topic);
      }
      this.#pump();
    });
  }

  /** Accepts nothing more, and resolves once all has its answer. */
  drain(): Promise<void> {
    this.#closed = true;
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
      if (this.#count === 0) resolve();
    });
  }

  /** Gives up what has no answer. */
  close(error: PushfleetError): void {
    this.#closed = true;
    for (const queue of this.#topics.values()) {
      for (const entry of queue.splice(0)) this.#settle(entry, () => entry.reject(error));
    }
    this.#topics.clear();
    this.#ready.length = 0;
  }

  #pump(): void {
    while (this.#sending < mostSending) {
      const topic = this.#ready.shift();
      const entry = topic === undefined ? undefined : this.#topics.get(topic)?.[0];
      if (entry === undefined) return;
      this.#send(entry);
    }
  }

  #send(entry: Entry): void {
    const { clock } = this.#o;
    const left = entry.endsAt - clock.now();
    if (left <= 0) {
      this.#done(entry, () => entry.reject(late()));
      return;
    }
    const turn = ++entry.turn;
    this.#sending++;
    const over = (then: () => void) => {
      if (entry.turn !== turn) return;
      entry.turn++;
      cancel();
      this.#sending--;
      then();
      this.#pump();
    };
    const cancel = clock.after(Math.min(left, callMs), () => over(() => this.#failed(entry, late())));
    this.#o.send(entry.draft).then(
      (receipt) => over(() => this.#done(entry, () => entry.resolve(receipt))),
      (error: PushfleetError) => over(() => this.#failed(entry, error)),
    );
  }

  #failed(entry: Entry, error: PushfleetError): void {
    const { clock } = this.#o;
    // Of a fault inside the fleet nobody knows when it passes.
    if (!error.retryable || error.code === 'internal') {
      this.#done(entry, () => entry.reject(error));
      return;
    }
    const wait = Math.max(entry.backoff.next(), error.retryAfterMs ?? 0);
    if (clock.now() + wait >= entry.endsAt) {
      this.#done(entry, () => entry.reject(error.code === 'unreachable' ? late(error) : error));
      return;
    }
    clock.after(wait, () => {
      if (entry.turn < 0) return;
      this.#ready.push(entry.draft.topic);
      this.#pump();
    });
  }

  /** The first of its topic has its answer: the next may go. */
  #done(entry: Entry, answer: () => void): void {
    const { topic } = entry.draft;
    const queue = this.#topics.get(topic);
    queue?.shift();
    if (queue?.length === 0) this.#topics.delete(topic);
    else if (queue !== undefined) this.#ready.push(topic);
    this.#settle(entry, answer);
  }

  #settle(entry: Entry, answer: () => void): void {
    entry.turn = -1;
    this.#count--;
    this.#bytes -= entry.draft.size;
    answer();
    if (this.#count === 0) this.#onEmpty();
  }
}

const late = (cause?: unknown): PushfleetError =>
  new PushfleetError(
    'timeout',
    'No answer came in time. It may be stored: publish it again with the same id.',
    { cause },
  );
