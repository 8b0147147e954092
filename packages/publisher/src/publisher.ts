import type { Draft } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { type Payload, type PublishOptions, sizeOf, toDraft } from './draft.ts';
import { PublishError } from './error.ts';
import { type Answer, mayBeStored } from './lane.ts';
import { type Batch, entriesOf, Outbox, type OutboxLimits } from './outbox.ts';
import type { Receipt } from './receipt.ts';
import { startSpan } from './trace.ts';
import type { Transport } from './transport.ts';

/** One publication of `publishMany`. */
export interface Publication extends PublishOptions {
  readonly topic: string;
  readonly payload: Payload;
}

/** What was accepted and not acknowledged when the publisher closed. */
export interface Unacknowledged {
  readonly id: string;
  readonly topic: string;
  /** Whether the log may hold it all the same. */
  readonly mayBeStored: boolean;
}

export interface Waiting {
  /** Ends the waiting: what was not sent will not be, what was may be stored. */
  readonly signal?: AbortSignal;
}

/**
 * Hears of trouble that the publisher deals with itself: once for each call after which publications are sent again,
 * with their number and why the first of them was not stored. It must not throw: a throw changes nothing for the
 * publications and becomes an unhandled rejection, which ends the process unless that is listened for.
 */
export type OnRetry = (error: PublishError, publications: number) => void;

/** Time as the publisher needs it. */
export interface Clock {
  /** Milliseconds that only grow. */
  now(): number;
  /** @returns what calls it off */
  after(ms: number, run: () => void): () => void;
}

const realClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** Publishes, in order per topic, whatever happens to the fleet meanwhile. `connect` makes one. */
export class Publisher implements AsyncDisposable {
  readonly #outbox: Outbox;
  readonly #transport: Transport;
  readonly #source: string;
  readonly #onRetry: OnRetry;
  readonly #clock: Clock;
  #closing: Promise<readonly Unacknowledged[]> | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  #stopTimer = () => {};
  /** Who waits for an answer to anybody, or for room. */
  #moved = Promise.withResolvers<void>();

  constructor(
    limits: OutboxLimits,
    transport: Transport,
    source: string,
    onRetry: OnRetry,
    clock: Clock = realClock,
  ) {
    this.#outbox = new Outbox(limits, Math.random);
    this.#transport = transport;
    this.#source = source;
    this.#onRetry = onRetry;
    this.#clock = clock;
  }

  /**
   * Resolves once the log holds the publication. Publications of one topic are stored in the order of the calls,
   * also where earlier ones have to be sent again.
   *
   * @throws PublishError a promise that rejects; `code` says why, and `outbox_full` that too much is not
   * acknowledged yet: nothing was accepted
   */
  async publish(topic: string, payload: Payload, options: PublishOptions & Waiting = {}): Promise<Receipt> {
    const { signal, ...rest } = options;
    const draft = toDraft(topic, payload, rest, this.#source);
    const bytes = sizeOf(draft);
    if (!this.#outbox.fits(bytes)) throw full();
    return this.#enqueue(draft, bytes, signal);
  }

  /**
   * Publishes one after the other, and takes the next only when there is room for it: give it a generator where the
   * whole would not fit into memory. Resolves with what became of each, in their order; one that is refused rejects
   * nothing. Once the signal is aborted or the publisher closed it takes no more: the last answer says so.
   */
  async publishMany(
    publications: Iterable<Publication> | AsyncIterable<Publication>,
    { signal }: Waiting = {},
  ): Promise<readonly (Receipt | PublishError)[]> {
    const answers: (Answer | Promise<Answer>)[] = [];
    for await (const { topic, payload, ...options } of publications) {
      try {
        const draft = toDraft(topic, payload, options, this.#source);
        const bytes = sizeOf(draft);
        await this.#room(bytes, signal);
        answers.push(this.#enqueue(draft, bytes, signal).catch(asAnswer));
      } catch (error) {
        answers.push(asAnswer(error));
        if (signal?.aborted || this.#closing !== undefined) break;
      }
    }
    return Promise.all(answers);
  }

  /** Sends what waits for company, and resolves once everything accepted so far has its answer. */
  async flush(): Promise<void> {
    const accepted = [...this.#outbox.open];
    this.#outbox.flush();
    this.#pump();
    while (accepted.some(({ settled }) => !settled)) await this.#moved.promise;
  }

  /**
   * Accepts nothing more, and waits until everything accepted has its answer, for at most `deadlineMs`. What has none
   * by then is rejected with `closed` and listed. A second call has the result of the first.
   */
  close(deadlineMs = 10_000): Promise<readonly Unacknowledged[]> {
    this.#closing ??= this.#close(deadlineMs);
    this.#tellMoved();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(deadlineMs: number): Promise<readonly Unacknowledged[]> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const stop = this.#clock.after(deadlineMs, resolve);
    await Promise.race([this.flush(), late]);
    stop();
    const left = [...this.#outbox.open].map((entry) => {
      const unacknowledged = {
        id: entry.draft.id,
        topic: entry.draft.topic,
        mayBeStored: mayBeStored(entry),
      };
      this.#outbox.giveUp(entry, 'closed', 'The publisher was closed before it was acknowledged.');
      return unacknowledged;
    });
    this.#stopTimer();
    this.#transport.close();
    return left;
  }

  #enqueue(draft: Draft, bytes: number, signal: AbortSignal | undefined): Promise<Receipt> {
    if (this.#closing !== undefined) throw new PublishError('closed', 'The publisher is closed.');
    if (signal?.aborted) throw new PublishError('aborted', 'The signal was aborted before the call.');
    const span = startSpan(draft);
    if (span !== undefined) draft.traceparent = span.traceparent;
    const { promise, resolve, reject } = Promise.withResolvers<Receipt>();
    const settle = (answer: Answer) => {
      signal?.removeEventListener('abort', abort);
      span?.end(answer);
      if (answer instanceof PublishError) reject(answer);
      else resolve(answer);
      this.#tellMoved();
    };
    const entry = this.#outbox.add(draft, bytes, settle, this.#clock.now());
    const abort = () => this.#outbox.giveUp(entry, 'aborted', 'The signal was aborted.');
    signal?.addEventListener('abort', abort, { once: true });
    this.#arm();
    return promise;
  }

  /** Resolves once so much fits, and where it will not be enqueued anyhow. */
  async #room(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const onAbort = () => this.#tellMoved();
    signal?.addEventListener('abort', onAbort, { once: true });
    const over = () => signal?.aborted === true || this.#closing !== undefined;
    while (!this.#outbox.fits(bytes) && !over()) await this.#moved.promise;
    signal?.removeEventListener('abort', onAbort);
  }

  #tellMoved(): void {
    const { resolve } = this.#moved;
    this.#moved = Promise.withResolvers<void>();
    resolve();
  }

  #pump(): void {
    const now = this.#clock.now();
    this.#outbox.expire(now);
    for (let batch = this.#outbox.take(now); batch !== undefined; batch = this.#outbox.take(now)) {
      void this.#send(batch);
    }
    // What was given up while it was under way makes room without an answer to anybody.
    this.#tellMoved();
    this.#arm();
  }

  async #send(batch: Batch): Promise<void> {
    const answers = await this.#transport.send(entriesOf(batch).map(({ draft }) => draft));
    const back = this.#outbox.settle(batch, answers, this.#clock.now());
    this.#pump();
    // Last, so that a throw of the caller's leaves nothing half done; what expired meanwhile does not go again.
    const again = back.filter(({ settled }) => !settled);
    if (again[0]?.refusal !== undefined) this.#onRetry(again[0].refusal, again.length);
  }

  /** Sees to it that `#pump` runs when something is due; an idle publisher keeps no process alive. */
  #arm(): void {
    const now = this.#clock.now();
    const at = this.#outbox.wakeAt(now);
    if (at <= now) {
      this.#pump();
    } else if (at < this.#wakeAt) {
      this.#wakeUp(at, now);
    } else if (at === Number.POSITIVE_INFINITY) {
      this.#stopTimer();
      this.#wakeAt = at;
    }
  }

  #wakeUp(at: number, now: number): void {
    this.#stopTimer();
    this.#wakeAt = at;
    this.#stopTimer = this.#clock.after(at - now, () => {
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#pump();
    });
  }
}

function asAnswer(thrown: unknown): PublishError {
  if (thrown instanceof PublishError) return thrown;
  throw thrown;
}

const full = () =>
  new PublishError(
    'outbox_full',
    'More is not acknowledged than the publisher may hold; nothing was accepted. Await what was published, or hand a generator to publishMany.',
  );
