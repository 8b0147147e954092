import type { Shelf } from '@pushfleet/bus';
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
import { decodeJson, type Job } from './job.ts';
import type { OwedShelf } from './owed-shelf.ts';
import type { Patiently } from './patience.ts';
import { keyOf, slotOf } from './place.ts';
import type { Selections } from './selections.ts';
import type { Subscribers } from './subscribers.ts';

export interface ReplaysOptions {
  readonly backbone: Pick<Backbone, 'bus'>;
  readonly subscribers: Subscribers;
  readonly books: Books;
  readonly dead: Shelf;
  readonly owed: OwedShelf;
  readonly selections: Selections;
  readonly news: HookNews;
  readonly patiently: Patiently;
  readonly closing: AbortSignal;
}

const lettersAtOnce = 100;

/**
 * Deliveries once more: of a stretch of the log, or of what was given up. They are laid on the subscription's lane,
 * so that they hold up nobody else. A replay that is cut short by the death of its worker begins again.
 */
export class Replays {
  readonly #o: ReplaysOptions;

  constructor(options: ReplaysOptions) {
    this.#o = options;
  }

  async replay(job: Extract<Job, { kind: 'replay' }>): Promise<void> {
    const subscription = await this.#o.patiently('a subscription', async () => this.#o.subscribers.get(job));
    if (subscription === undefined) return;
    // What was laid down before a failure of the log is passed over at the next try.
    let after: Cursor = job.after;
    await this.#o.patiently('a replay', async () => {
      const filters = [subscription.filter as TopicFilter];
      const pages = this.#o.backbone.bus(job.namespace).replay(filters, after, job.until, this.#o.closing);
      for await (const page of pages) {
        for (const item of page) {
          if (item.kind === 'gap') this.#o.news(job, 'replay_gap', { from: item.from, to: item.to });
          else after = await this.#lay(job, subscription, item.value, after);
        }
      }
    });
    await this.#o.books.nudge({ ref: job, slot: slotOf(job) });
  }

  /** Lays one down, and returns the place behind it. */
  async #lay(
    job: Extract<Job, { kind: 'replay' }>,
    { selection }: Subscription,
    publication: Publication,
    after: Cursor,
  ): Promise<Cursor> {
    const cursor = behind(after, publication);
    if (this.#o.selections.selects(selection, publication)) {
      const owed = await this.#o.owed.keep(job.namespace, { publication, cursor });
      await this.#o.books.shelveReference(job, { owed, attempts: 0 });
    }
    return cursor;
  }

  async redeliver(job: Extract<Job, { kind: 'redeliver' }>): Promise<void> {
    for (let after = 0; ; ) {
      const letters = await this.#o.patiently('dead letters', () =>
        this.#o.dead.read(keyOf(job), after, lettersAtOnce),
      );
      for (const { sequence, body } of letters) {
        await this.#o.books.shelveReference(job, { owed: decodeJson<Buried>(body).owed, attempts: 0 });
        after = sequence;
      }
      await this.#o.patiently('dead letters', () =>
        this.#o.dead.remove(letters.map(({ sequence }) => sequence)),
      );
      if (letters.length < lettersAtOnce) break;
    }
    await this.#o.books.nudge({ ref: job, slot: slotOf(job) });
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
