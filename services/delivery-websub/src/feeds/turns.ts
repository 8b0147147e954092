import type { Taken } from '@pushfleet/bus';
import { Stopped } from '@pushfleet/delivery';
import type { Log } from '@pushfleet/runtime';
import { type Due, decodeDue } from './notices.ts';

export interface TurnsOptions {
  /** Settles once the feed is published, unchanged, given up, or due again. */
  readonly fetch: (due: Due) => Promise<void>;
  /** From the beginning of a fetch to that of the next of the same feed, in milliseconds. */
  readonly apartMs: number;
  readonly log: Log;
}

/** Entries of a slot in hand: of each feed one that is fetched, and one that waits for it. */
export const mostInHand = 64;
/** Fetches of a slot at once: feeds that are slow leave room for the others. */
const mostAtOnce = 4;
/** Terms of entries in hand are extended as often, in milliseconds. */
const extendMs = 3_000;

interface Waiting {
  readonly due: Due;
  readonly taken: Taken;
}

/**
 * Whose turn it is among the feeds of a slot. One fetch of a feed at a time, so that an older one never publishes behind
 * a newer one; and however many entries of a feed come before it begins, it is for all of them.
 */
export class Turns {
  readonly #o: TurnsOptions;
  /** By the URL, in the order in which they came. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #fetched = new Set<Taken>();
  /** URLs of feeds that are fetched, or were a moment ago. */
  readonly #resting = new Set<string>();
  readonly #extending: NodeJS.Timeout;
  #stopping = false;
  #onIdle: (() => void) | undefined;

  constructor(options: TurnsOptions) {
    this.#o = options;
    this.#extending = setInterval(() => this.#extend(), extendMs).unref();
  }

  /** Never throws. */
  take(taken: Taken): void {
    let due: Due;
    try {
      due = decodeDue(taken.body);
    } catch (error) {
      this.#o.log.error({ err: error, bytes: taken.body.length }, 'a feed that is due cannot be read');
      taken.done();
      return;
    }
    const before = this.#waiting.get(due.url);
    // What waits in hand is on record until its fetch is over, and that has not begun.
    if (before !== undefined) taken.done();
    const attempts = Math.min(due.attempts, before?.due.attempts ?? due.attempts);
    this.#waiting.set(due.url, { due: { ...due, attempts }, taken: before?.taken ?? taken });
    this.#next();
  }

  /** Begins no fetch any more; settles when none is under way, or nobody waits for them. */
  async stop(patience: AbortSignal): Promise<void> {
    this.#stopping = true;
    if (this.#fetched.size === 0 || patience.aborted) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      patience.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** Gives back what is in hand. Not before the slot is given up: it would come again at once. */
  leave(): void {
    clearInterval(this.#extending);
    for (const taken of this.#inHand()) taken.back();
  }

  #inHand(): Taken[] {
    return [...this.#fetched, ...[...this.#waiting.values()].map(({ taken }) => taken)];
  }

  #extend(): void {
    for (const taken of this.#inHand()) taken.extend();
  }

  #next(): void {
    if (this.#stopping) return;
    for (const [url, one] of this.#waiting) {
      if (this.#fetched.size >= mostAtOnce) return;
      if (this.#resting.has(url)) continue;
      this.#waiting.delete(url);
      void this.#run(one);
    }
  }

  /** Never rejects. */
  async #run({ due, taken }: Waiting): Promise<void> {
    const begun = performance.now();
    this.#resting.add(due.url);
    this.#fetched.add(taken);
    try {
      await this.#o.fetch(due);
      taken.done();
    } catch (error) {
      // What failed for no known reason comes again when its term ends, and not at once.
      if (error instanceof Stopped) taken.back();
      else this.#o.log.error({ err: error, feed: due.url }, 'a feed that is due could not be worked on');
    }
    this.#fetched.delete(taken);
    if (this.#fetched.size === 0) this.#onIdle?.();
    const rested = (): void => {
      this.#resting.delete(due.url);
      this.#next();
    };
    setTimeout(rested, Math.max(0, begun + this.#o.apartMs - performance.now())).unref();
    this.#next();
  }
}
