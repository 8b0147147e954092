import { type Draft, type Namespace, PushfleetError, type Stored } from '@pushfleet/core';
import { logScope, messageId, subjectOf } from '../subject.ts';
import { Block, draftLines, headerLine, ttlLine } from './headers.ts';

export type Answer = Stored | PushfleetError;

/** A draft on its way into the log. */
export interface Outgoing {
  readonly namespace: Namespace;
  readonly draft: Draft;
  readonly shard: number;
  readonly subject: string;
  /** Header lines, the deduplication id among them. */
  readonly lines: string;
  /** Headers and payload as the broker counts them, in bytes, with room for the lines of a batch. */
  readonly size: number;
  /** No attempt begins later than this: Unix time in milliseconds. */
  readonly deadline: number;
  readonly settle: (answer: Answer) => void;
  /** Some attempt was made: whether it is stored is not known before an answer comes. */
  sent: boolean;
}

/** Longest lines that make a message one of a batch. */
const batchLinesBytes = 128;

export function outgoing(
  namespace: Namespace,
  draft: Draft,
  shard: number,
  now: number,
  deadline: number,
  settle: (answer: Answer) => void,
): Outgoing {
  const id = messageId(namespace, draft.source, draft.topic, draft.id);
  const lines = headerLine('Nats-Msg-Id', id) + draftLines(draft) + lifeLine(draft, now);
  const subject = subjectOf(logScope(namespace, shard), draft.topic);
  const size = Block.size(lines) + draft.payload.length + batchLinesBytes;
  return { namespace, draft, shard, subject, lines, size, deadline, settle, sent: false };
}

/** The publisher says until when a publication means something, the topic's policy how long it is kept. */
function lifeLine({ expiresAt, keepMs }: Draft, now: number): string {
  if (expiresAt === undefined && keepMs === undefined) return '';
  return ttlLine(Math.min((expiresAt ?? Number.POSITIVE_INFINITY) - now, keepMs ?? Number.POSITIVE_INFINITY));
}

/** The drafts of one topic that are not in the log yet. One commit of it is in flight at a time, which keeps its order. */
export class Lane {
  readonly subject: string;
  readonly shard: number;
  readonly waiting: Outgoing[] = [];
  /** So many from the front go one by one: as a batch they were refused. */
  singly = 0;
  busy = false;

  constructor(subject: string, shard: number) {
    this.subject = subject;
    this.shard = shard;
  }

  /** Takes what goes into one commit: a draft alone, or from `fewest` waiting on all of them within the bounds of a batch. */
  take(fewest: number, mostDrafts: number, mostBytes: number): Outgoing[] {
    let count = 1;
    let bytes = this.waiting[0]?.size ?? 0;
    const alone = this.singly > 0 || this.waiting.length < fewest;
    const most = alone ? 1 : Math.min(mostDrafts, this.waiting.length);
    while (count < most) {
      bytes += this.waiting[count]?.size ?? 0;
      if (bytes > mostBytes) break;
      count++;
    }
    if (this.singly > 0) this.singly--;
    return this.waiting.splice(0, count);
  }

  /** Back to the front in the order they had, to go one by one. */
  giveBack(items: readonly Outgoing[]): void {
    this.waiting.unshift(...items);
    this.singly += items.length;
  }

  /** Takes those out that were never sent. What was, and went back to the front, may be stored: it is tried on. */
  takeUnsent(): Outgoing[] {
    const first = this.waiting.findIndex(({ sent }) => !sent);
    return first < 0 ? [] : this.waiting.splice(first);
  }

  /** Takes all out once the deadline of the first has passed: those behind it would overtake it when it is sent again. */
  takeExpired(now: number): Outgoing[] {
    if ((this.waiting[0]?.deadline ?? Number.POSITIVE_INFINITY) > now) return [];
    this.singly = 0;
    return this.waiting.splice(0);
  }
}

/** Collects the answers of one call in the order of its drafts. */
export class Answers {
  readonly #answers: Answer[];
  readonly #done = Promise.withResolvers<readonly Answer[]>();
  #open: number;

  constructor(count: number) {
    this.#open = count;
    this.#answers = new Array<Answer>(count);
    if (count === 0) this.#done.resolve([]);
  }

  get settled(): Promise<readonly Answer[]> {
    return this.#done.promise;
  }

  set(index: number, answer: Answer): void {
    this.#answers[index] = answer;
    if (--this.#open === 0) this.#done.resolve(this.#answers);
  }
}

export const refusals = {
  draining: () =>
    new PushfleetError(
      'draining',
      'This instance is shutting down; nothing was stored. Send it to another.',
      {
        retryAfterMs: 1_000,
      },
    ),
  outOfReach: () =>
    new PushfleetError('unavailable', 'The log is out of reach; nothing was stored. Publish again.', {
      retryAfterMs: 1_000,
    }),
  tooLate: (sent: boolean) => (sent ? refusals.uncertain() : refusals.outOfReach()),
  uncertain: () =>
    new PushfleetError(
      'unavailable',
      'The log did not acknowledge in time; it may be stored. Publish again with the same id.',
      { retryAfterMs: 1_000 },
    ),
  notKept: (cause: PushfleetError) =>
    new PushfleetError(
      cause.code,
      `It is stored, but not as the retained publication: ${cause.message} Publish again with the same id.`,
      { cause, ...(cause.retryAfterMs === undefined ? {} : { retryAfterMs: cause.retryAfterMs }) },
    ),
  tooMany: () =>
    new PushfleetError(
      'rate_limited',
      'Publications come faster than the log takes them; nothing was stored.',
      {
        retryAfterMs: 250,
      },
    ),
  tooLarge: (size: number, limit: number) =>
    new PushfleetError(
      'payload_too_large',
      `With its headers the publication has ${size} bytes; the broker takes ${limit}.`,
      { detail: { limit } },
    ),
  refused: (description: string) =>
    new PushfleetError('internal', `The log refuses the publication: ${description}.`),
};
