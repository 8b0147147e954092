import { PushfleetError } from '@pushfleet/core';
import type { Clock } from './clock.ts';
import type { Ledger } from './ledger.ts';
import type { Tailed } from './tail.ts';

/** How far a shard was read. */
export interface TailPlace {
  /** The last sequence that is done with; 0 before the first. */
  readonly position: number;
  /** When that was stored, Unix time in milliseconds. */
  readonly time: number;
}

/** What comes next of a shard, and the place right behind it and behind what was passed over. */
export interface Stretch {
  readonly batch: readonly Tailed[];
  readonly place: TailPlace;
}

/** One shard from some place on. JetStream provides it, and so does a log in memory. */
export interface Feed {
  /** Resolves when there is something; each call goes on behind the last. Undefined once it is closed. */
  next(): Promise<Stretch | undefined>;
  close(): void;
}

export interface ReadingOptions {
  /** Keeps the places. */
  readonly ledger: Pick<Ledger, 'get' | 'put'>;
  /** Of this reading's place in it. */
  readonly key: string;
  readonly clock: Clock;
  open(place: TailPlace): Feed;
  readonly on: (batch: readonly Tailed[]) => Promise<void>;
  /** Told why the reading waits before it goes on. */
  readonly onTrouble: (error: unknown) => void;
}

/**
 * The shortest time between two commits, in milliseconds: every one is a write to the log's own broker. What
 * was settled since the last one comes again after a crash.
 */
const commitEveryMs = 50;
/** Most publications that are settled and not committed. */
const mostUncommitted = 2_048;
const shortestPauseMs = 100;
const longestPauseMs = 10_000;
/** Somebody else reads the shard too: who has lost lets the other go on before it reads the place again. */
const afterConflictMs = 1_000;

/** Reads a shard on from its committed place until it is stopped, whatever fails meanwhile. */
export class TailReading {
  readonly #o: ReadingOptions;
  readonly #done: Promise<void>;
  #stopped = false;
  #abandoned = false;
  #feed: Feed | undefined;
  #wake: (() => void) | undefined;
  #revision = 0;
  #place: TailPlace = { position: 0, time: 0 };
  #uncommitted = 0;
  #committedAt = 0;
  #failures = 0;

  constructor(options: ReadingOptions) {
    this.#o = options;
    this.#done = this.#run();
  }

  /** Resolves once `on` has settled and its place is stored, if the log can be reached. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#feed?.close();
    this.#wake?.();
    return this.#done;
  }

  /** As the end of the process: nothing more is handed over or stored. */
  abandon(): void {
    this.#abandoned = true;
    void this.stop();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#readPlace();
        await this.#readOn();
      } catch (error) {
        this.#o.onTrouble(error);
        await this.#pause(isConflict(error) ? afterConflictMs : this.#nextPause());
      }
    }
  }

  async #readPlace(): Promise<void> {
    const held = await this.#o.ledger.get(this.#o.key);
    this.#revision = held?.revision ?? 0;
    this.#place = held === undefined ? { position: 0, time: 0 } : parsePlace(held.value);
    this.#uncommitted = 0;
  }

  async #readOn(): Promise<void> {
    if (this.#stopped) return;
    const feed = this.#o.open(this.#place);
    this.#feed = feed;
    try {
      for (;;) {
        const stretch = await this.#next(feed);
        if (stretch === undefined || !(await this.#hand(stretch.batch))) break;
        this.#place = stretch.place;
        this.#uncommitted += Math.max(1, stretch.batch.length);
        if (this.#uncommitted >= mostUncommitted || this.#commitIn() <= 0) await this.#commit();
      }
      await this.#lastCommit();
    } finally {
      feed.close();
    }
  }

  /** Waits for what comes next; meanwhile what is settled is committed when its time comes. */
  async #next(feed: Feed): Promise<Stretch | undefined> {
    const next = feed.next();
    if (this.#uncommitted === 0) return next;
    const due = Promise.withResolvers<'due'>();
    const cancel = this.#o.clock.after(Math.max(0, this.#commitIn()), () => due.resolve('due'));
    const first = await Promise.race([next, due.promise]);
    cancel();
    if (first === 'due') await this.#commit();
    return next;
  }

  /** Hands a batch over until it is settled; false where the reading was stopped before. */
  async #hand(batch: readonly Tailed[]): Promise<boolean> {
    for (;;) {
      if (this.#stopped) return false;
      const now = this.#o.clock.now();
      const alive = batch.filter(({ publication: { expiresAt } }) => (expiresAt ?? now + 1) > now);
      if (alive.length === 0) return true;
      try {
        await this.#o.on(alive);
        this.#failures = 0;
        return true;
      } catch (error) {
        this.#o.onTrouble(error);
      }
      if (this.#stopped) return false;
      if (this.#uncommitted > 0) await this.#commit();
      await this.#pause(this.#nextPause());
    }
  }

  #commitIn(): number {
    return this.#committedAt + commitEveryMs - this.#o.clock.now();
  }

  /** Stores the place, however long that takes. @throws PushfleetError `conflict` where another reading did */
  async #commit(): Promise<void> {
    for (;;) {
      try {
        return await this.#store();
      } catch (error) {
        if (isConflict(error) || this.#stopped) throw error;
        this.#o.onTrouble(error);
        await this.#pause(this.#nextPause());
      }
    }
  }

  async #lastCommit(): Promise<void> {
    if (this.#uncommitted > 0 && !this.#abandoned) await this.#store();
  }

  async #store(): Promise<void> {
    const { ledger, key, clock } = this.#o;
    const value = Buffer.from(JSON.stringify(this.#place));
    this.#revision = await ledger.put(key, value, { ifRevision: this.#revision });
    this.#uncommitted = 0;
    this.#committedAt = clock.now();
  }

  #nextPause(): number {
    return Math.min(longestPauseMs, shortestPauseMs * 2 ** this.#failures++);
  }

  #pause(ms: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#o.clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

const isConflict = (error: unknown): boolean => error instanceof PushfleetError && error.code === 'conflict';

/** @throws PushfleetError `internal` where it is none: reading from the beginning would deliver everything again */
export function parsePlace(value: Uint8Array): TailPlace {
  try {
    const { position, time } = JSON.parse(Buffer.from(value).toString()) as TailPlace;
    if (Number.isSafeInteger(position) && position >= 0 && Number.isFinite(time)) return { position, time };
  } catch {
    // Told below.
  }
  throw new PushfleetError('internal', 'A place in the ledger "tails" cannot be read.');
}
