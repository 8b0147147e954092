import {
  type Bus,
  type Cursor,
  formatCursor,
  type Item,
  type Place,
  type Publication,
  parseCursor,
  type TopicFilter,
} from '@pushfleet/core';

/** One step of a walk; `cursor` is the place behind it, from which any reader of these filters may go on. */
export type Step =
  | { readonly kind: 'publication'; readonly publication: Publication; readonly cursor: Cursor }
  | { readonly kind: 'gap'; readonly from: Cursor; readonly cursor: Cursor };

export interface WalkOptions {
  readonly bus: Bus;
  readonly filters: readonly TopicFilter[];
  /** Undefined: from the oldest stored. */
  readonly after: Cursor | undefined;
  /** Unix time in milliseconds: from what was stored then or later. Not together with `after`. */
  readonly since?: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * Walks through the log from a place to its head of this moment, in the order of time: one read for each shard,
 * merged. So whatever lies ahead, in any shard, is no older than the last publication given, and a walk that ends
 * anywhere can go on from one cursor.
 */
export class LogWalk {
  readonly #o: WalkOptions;
  readonly #head: Place;
  readonly #shards: readonly ShardRead[];
  #time: number;
  /** Of what was stored before this time, what is gone was told: where the walk begins, and by it. */
  #told: number;

  private constructor(o: WalkOptions, head: Place, after: Place | undefined) {
    this.#o = o;
    this.#head = head;
    this.#time = after?.time ?? 0;
    this.#told = o.after === undefined ? 0 : this.#time;
    this.#shards = head.positions.map((until, shard) => {
      const from = after === undefined ? undefined : startOf(after, head, shard);
      // The other shards end where they begin: there is nothing to read of them.
      const positions = head.positions.map((_, other) => (other === shard ? until : 0));
      const batches = o.bus.replay(o.filters, from, formatCursor({ ...head, positions }), o.signal);
      return new ShardRead(batches[Symbol.asyncIterator](), until ?? 0);
    });
  }

  /** @throws PushfleetError `cursor_invalid`, or `unavailable` when the log is out of reach */
  static async open(o: WalkOptions): Promise<LogWalk> {
    const head = parseCursor(await o.bus.head());
    const since = o.since === undefined ? undefined : { ...head, positions: [], time: o.since };
    return new LogWalk(o, head, o.after === undefined ? since : parseCursor(o.after));
  }

  /** The place behind everything given, known once `next` or `atEnd` has settled. */
  get cursor(): Cursor {
    if (this.#ended) return formatCursor({ ...this.#head, read: true });
    return this.#cursor(this.#shards.map(({ position }) => position));
  }

  /**
   * The next step; undefined at the head.
   *
   * @throws PushfleetError as `open`
   * @throws the signal's reason, once it is aborted
   */
  async next(): Promise<Step | undefined> {
    const lost = await this.#fill();
    const oldest = this.#oldest();
    if (oldest?.next !== undefined) this.#time = oldest.next.time;
    if (lost.length > 0) return this.#tell(lost);
    const publication = oldest?.take();
    return publication && { kind: 'publication', publication, cursor: this.#behind(publication) };
  }

  /** Whether `next` has nothing more to give. @throws as `next` */
  async atEnd(): Promise<boolean> {
    const lost = await this.#fill();
    return lost.length === 0 && this.#ended;
  }

  /** Gives up the reads; none is under way once `next` has settled, or the signal is aborted. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#shards.map((shard) => shard.close()));
  }

  /** Its own shard's position names the publication, so that it can be found by this cursor. */
  #behind({ shard, sequence }: Publication): Cursor {
    return this.#cursor(this.#shards.map(({ position }, index) => (index === shard ? sequence : position)));
  }

  #cursor(positions: readonly number[]): Cursor {
    const { generation } = this.#head;
    return formatCursor({ generation, positions, time: Math.max(this.#time, this.#told), read: true });
  }

  get #ended(): boolean {
    return this.#shards.every(({ ended }) => ended);
  }

  /** Brings every shard before a publication or its end; returns the gaps on the way. */
  async #fill(): Promise<readonly Gap[]> {
    const gaps: Gap[] = [];
    for (;;) {
      await Promise.all(this.#shards.map((shard) => shard.fill()));
      // An aborted read ends like one that has reached its end.
      this.#o.signal.throwIfAborted();
      const found = this.#shards.flatMap((shard) => shard.takeGaps());
      if (found.length === 0) return gaps;
      gaps.push(...found);
    }
  }

  #tell(lost: readonly Gap[]): Step {
    this.#told = Math.max(...lost.map(({ to }) => parseCursor(to).time));
    return { kind: 'gap', from: this.#o.after ?? (lost[0] as Gap).from, cursor: this.cursor };
  }

  #oldest(): ShardRead | undefined {
    let oldest: ShardRead | undefined;
    for (const shard of this.#shards) {
      const time = shard.next?.time;
      if (time !== undefined && time < (oldest?.next?.time ?? Number.POSITIVE_INFINITY)) oldest = shard;
    }
    return oldest;
  }
}

type Gap = Item<Publication> & { readonly kind: 'gap' };

/** Where one shard's read begins: the other shards have nothing to find, unless the place is of another log. */
function startOf(after: Place, head: Place, shard: number): Cursor {
  if (after.generation !== head.generation) return formatCursor(after);
  const positions = head.positions.map((_, other) => (other === shard ? after.positions[shard] : 0));
  return formatCursor({ ...after, positions });
}

/** The read of one shard, some publications ahead of the walk. */
class ShardRead {
  readonly #batches: AsyncIterator<readonly Item<Publication>[]>;
  readonly #until: number;
  #position = 0;
  #batch: readonly Item<Publication>[] = [];
  #index = 0;
  #done = false;

  constructor(batches: AsyncIterator<readonly Item<Publication>[]>, until: number) {
    this.#batches = batches;
    this.#until = until;
  }

  get ended(): boolean {
    return this.#done && this.#index === this.#batch.length;
  }

  /** The publication that is taken next; known after `fill` and `takeGaps`. */
  get next(): Publication | undefined {
    const item = this.#batch[this.#index];
    return item?.kind === 'publication' ? item.value : undefined;
  }

  /** Everything that matches up to here was taken. */
  get position(): number {
    if (this.ended) return this.#until;
    return this.next === undefined ? this.#position : this.next.sequence - 1;
  }

  async fill(): Promise<void> {
    while (!this.#done && this.#index === this.#batch.length) {
      const { done = false, value } = await this.#batches.next();
      this.#done = done;
      this.#batch = done ? [] : value;
      this.#index = 0;
    }
  }

  takeGaps(): readonly Gap[] {
    const gaps: Gap[] = [];
    for (let item = this.#batch[this.#index]; item?.kind === 'gap'; item = this.#batch[++this.#index])
      gaps.push(item);
    return gaps;
  }

  take(): Publication | undefined {
    const publication = this.next;
    if (publication !== undefined) {
      this.#index++;
      this.#position = publication.sequence;
    }
    return publication;
  }

  async close(): Promise<void> {
    await this.#batches.return?.();
  }
}
