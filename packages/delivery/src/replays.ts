import type { Shelf, ShelfEntry } from '@pushfleet/bus';
import {
  type Backbone,
  type Cursor,
  formatCursor,
  type Publication,
  parseCursor,
  type TopicFilter,
} from '@pushfleet/core';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Books, Buried } from './books.ts';
import type { HookNews } from './hooks.ts';
import { decodeJson, type Job, type Owed } from './job.ts';
import type { OwedShelf } from './owed-shelf.ts';
import type { Patiently } from './patience.ts';
import { keyOf, laneKey, type SubscriptionRef, slotOf } from './place.ts';
import type { Selections } from './selections.ts';
import type { Subscribers } from './subscribers.ts';

export interface ReplaysOptions {
  readonly backbone: Pick<Backbone, 'bus'>;
  readonly subscribers: Subscribers;
  readonly books: Books;
  readonly kind: string;
  readonly lanes: Shelf;
  readonly dead: Shelf;
  readonly owed: OwedShelf;
  readonly selections: Selections;
  readonly news: HookNews;
  readonly patiently: Patiently;
  /** Most that may wait on a lane. */
  readonly limits: { readonly queue: number };
  readonly closing: AbortSignal;
}

const lettersAtOnce = 100;
/** Laid down in one turn, and looked at. */
const publicationsAtOnce = 250;
const publicationsLookedAt = 2_500;
/** How soon it is looked again whether a lane has room, in milliseconds. */
const waitMs = 2_000;

type ReplayJob = Extract<Job, { kind: 'replay' }>;

interface Read {
  readonly found: readonly Owed[];
  /** The place that was come to. */
  readonly after: Cursor;
  /** There is nothing behind it. */
  readonly over: boolean;
}

/**
 * Deliveries once more: of a stretch of the log, or of what was given up. They are laid on the subscription's lane,
 * so that they hold up nobody else. What a worker was about when it died is laid down again, a page at most.
 */
export class Replays {
  readonly #o: ReplaysOptions;
  /** By subscription, the last that has or waits for its turn. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(options: ReplaysOptions) {
    this.#o = options;
  }

  /**
   * Lays down what there is room for, a page at most: the rest is another entry behind what the slot has by then, so
   * that a long replay is in nobody's way.
   */
  async replay(job: ReplayJob): Promise<void> {
    const key = keyOf(job);
    // One after the other: what one lays down is no room for the next.
    const turn = (this.#turns.get(key) ?? Promise.resolve()).catch(() => {}).then(() => this.#turn(job));
    this.#turns.set(key, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    }
  }

  async #turn(job: ReplayJob): Promise<void> {
    const subscription = await this.#o.patiently('a subscription', async () => this.#o.subscribers.get(job));
    if (subscription === undefined) return;
    const room = await this.#room(job);
    if (room <= 0) return this.#wait(job);
    const { found, after, over } = await this.#o.patiently('a replay', () =>
      this.#read(job, subscription, Math.min(room, publicationsAtOnce)),
    );
    const references = found.map((owed) =>
      this.#o.patiently('a publication that is owed', async () => ({
        owed: await this.#o.owed.keep(job.namespace, owed),
        attempts: 0,
      })),
    );
    if (found.length > 0) await this.#o.books.shelveReferences(job, await Promise.all(references));
    if (found.length > 0) await this.#o.books.nudge({ ref: job, slot: slotOf(job) });
    if (!over) await this.#o.books.replayOn({ ...job, after });
  }

  /** Half of what may wait on a lane is left to what is published now. */
  async #room(job: ReplayJob): Promise<number> {
    const key = laneKey(this.#o.kind, job);
    const lying = await this.#o.patiently(
      'a lane',
      async () => (await this.#o.lanes.keys(key)).get(key) ?? 0,
    );
    return Math.max(1, this.#o.limits.queue >> 1) - lying;
  }

  async #wait(job: ReplayJob): Promise<void> {
    const waits = await this.#o.books.replayLater(job, Date.now() + waitMs);
    if (!waits) this.#o.news(job, 'replay_gap', { from: job.after, to: job.until });
  }

  /** Reads on until so many are found, or so many were looked at. */
  async #read(job: ReplayJob, { filter, selection }: Subscription, most: number): Promise<Read> {
    const { namespace, until } = job;
    const found: Owed[] = [];
    let after = job.after;
    let looked = 0;
    const filters = [filter as TopicFilter];
    for await (const page of this.#o.backbone.bus(namespace).replay(filters, after, until, this.#o.closing)) {
      for (const item of page) {
        if (item.kind === 'gap') {
          this.#o.news(job, 'replay_gap', { from: item.from, to: item.to });
          continue;
        }
        after = behind(after, item.value);
        if (this.#o.selections.selects(selection, item.value))
          found.push({ publication: item.value, cursor: after });
        if (found.length === most || ++looked === publicationsLookedAt) return { found, after, over: false };
      }
    }
    return { found, after, over: true };
  }

  /** Lays dead letters on their lane: the one that is named, or all. */
  async redeliver(job: Extract<Job, { kind: 'redeliver' }>): Promise<void> {
    const { letter } = job;
    if (letter === undefined) {
      await this.#layAll(job);
    } else {
      const only = await this.#o.patiently('a dead letter', () => this.#o.dead.get(letter));
      if (only !== undefined) await this.#lay(job, [only]);
    }
    await this.#o.books.nudge({ ref: job, slot: slotOf(job) });
  }

  /** Those that lie there now: one that is given up again meanwhile waits for whoever asks again. */
  async #layAll(ref: SubscriptionRef): Promise<void> {
    const [last] = await this.#o.patiently('dead letters', () =>
      this.#o.dead.newest(keyOf(ref), undefined, 1),
    );
    for (let after = 0; last !== undefined && after < last.sequence; ) {
      const from = after;
      const page = await this.#o.patiently('dead letters', () =>
        this.#o.dead.read(keyOf(ref), from, lettersAtOnce),
      );
      await this.#lay(
        ref,
        page.filter(({ sequence }) => sequence <= last.sequence),
      );
      after = page.at(-1)?.sequence ?? last.sequence;
    }
  }

  async #lay(ref: SubscriptionRef, letters: readonly ShelfEntry[]): Promise<void> {
    if (letters.length === 0) return;
    const references = letters.map(({ body }) => ({ owed: decodeJson<Buried>(body).owed, attempts: 0 }));
    await this.#o.books.shelveReferences(ref, references);
    const sequences = letters.map(({ sequence }) => sequence);
    await this.#o.patiently('dead letters', () => this.#o.dead.remove(sequences));
  }
}

/** The place of a reader that has come to this publication. */
function behind(cursor: Cursor, { shard, sequence, time }: Publication): Cursor {
  const place = parseCursor(cursor);
  const positions = [...place.positions];
  while (positions.length < shard) positions.push(undefined);
  positions[shard] = sequence;
  return formatCursor({ ...place, positions, time: Math.max(time, place.time) });
}
