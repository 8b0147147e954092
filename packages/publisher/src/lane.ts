import type { Draft } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import type { PublishError } from './error.ts';
import type { Receipt } from './receipt.ts';

export type Answer = Receipt | PublishError;

/** A publication that is not acknowledged yet. */
export interface Entry {
  readonly draft: Draft;
  /** What it takes of a batch and of the outbox, in bytes. */
  readonly bytes: number;
  readonly acceptedAt: number;
  readonly settle: (answer: Answer) => void;
  /** How often it was handed to a call. */
  attempts: number;
  underWay: boolean;
  /** Some attempt ended without saying that nothing was stored. */
  doubtful: boolean;
  /** The caller has its answer; what is still under way changes nothing for it. */
  settled: boolean;
  /** Why it had to be sent again. */
  refusal: PublishError | undefined;
}

/** Whether the log may hold it although no receipt came. */
export const mayBeStored = ({ underWay, doubtful }: Entry): boolean => underWay || doubtful;

/**
 * The publications of one topic in the order of the calls. One batch of it is under way at a time: whatever of it is
 * not acknowledged goes back to the front, so that nothing overtakes a retry.
 */
export class Lane {
  readonly topic: string;
  /** Part of a batch that is under way. */
  busy = false;
  /** Attempts in a row that brought it no further. */
  failures = 0;
  /** It is left alone until then: a time of the outbox's clock. */
  restUntil = 0;
  /** Of all that waits. */
  bytes = 0;
  #waiting: Entry[] = [];

  constructor(topic: string) {
    this.topic = topic;
  }

  get count(): number {
    return this.#waiting.length;
  }

  get head(): Entry | undefined {
    return this.#waiting[0];
  }

  push(entry: Entry): void {
    this.#waiting.push(entry);
    this.bytes += entry.bytes;
  }

  /** Takes from the front what fits. */
  take(mostCount: number, mostBytes: number): Entry[] {
    let count = 0;
    let bytes = 0;
    for (const entry of this.#waiting) {
      if (count === mostCount || bytes + entry.bytes > mostBytes) break;
      bytes += entry.bytes;
      count++;
    }
    this.bytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  /** Back to the front in the order they had. */
  giveBack(entries: readonly Entry[]): void {
    this.#waiting.unshift(...entries);
    for (const { bytes } of entries) this.bytes += bytes;
  }

  /** Takes those out whose callers have their answers. */
  prune(): Entry[] {
    const gone = this.#waiting.filter(({ settled }) => settled);
    if (gone.length > 0) this.#waiting = this.#waiting.filter(({ settled }) => !settled);
    for (const { bytes } of gone) this.bytes -= bytes;
    return gone;
  }
}
