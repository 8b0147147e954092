import {
  type Backbone,
  type Bus,
  type Cursor,
  type Deletion,
  type Draft,
  type Following,
  formatCursor,
  type Item,
  type Lent,
  matches,
  type Namespace,
  type Place,
  type Publication,
  PushfleetError,
  parseCursor,
  type Share,
  type Stored,
  Succession,
  type Topic,
  type TopicFilter,
  type Verdict,
  type WorkOptions,
} from '@pushfleet/core';
import { type Clock, systemClock } from '../clock.ts';
import { Follower, type FollowerOptions, followerDefaults } from '../follower.ts';
import { opening, type RetentionMs, type Start, shortestRetentionMs, startCursor } from '../gap.ts';
import { checkGroup, type GroupTerms, groupTerms } from '../group-rules.ts';
import { mistrustMs } from '../leaders.ts';
import type { Ledger } from '../ledger.ts';
import type { Queue } from '../queue.ts';
import { checkName, type QueueTerms } from '../queue-rules.ts';
import { shardOf } from '../shard.ts';
import type { Shelf } from '../shelf.ts';
import { checkShelfName } from '../shelf-rules.ts';
import type { Stores } from '../stores.ts';
import type { Tail } from '../tail.ts';
import { MemoryGroup, MemoryShare } from './group.ts';
import { MemoryLedger } from './ledger.ts';
import { MemoryLog } from './log.ts';
import { MemoryQueue, QueueStore } from './queue.ts';
import { MemoryShelf, ShelfStore } from './shelf.ts';
import { MemorySignals } from './signals.ts';
import { type Latency, MemorySource, type Network } from './source.ts';
import { MemoryTail } from './tail.ts';
import { WorkGroup } from './work.ts';

export interface MemoryOptions {
  readonly shards?: number;
  readonly generation?: string;
  readonly clock?: Clock;
  readonly network?: Network;
  readonly latency?: Latency;
  readonly follower?: Partial<FollowerOptions>;
  /** How long publications are kept, in milliseconds. */
  readonly maxAgeMs?: number;
  /** A replay from before this is told of a gap. */
  readonly retentionMs?: RetentionMs;
  /** Of a queue: those of the backbone that is asked for it first count. */
  readonly queue?: Partial<QueueTerms>;
  readonly group?: Partial<GroupTerms>;
  /** Several backbones on one log are several edges of one fleet. */
  readonly log?: MemoryLog;
}

/** A backbone without a broker: for tests, and for the simulation that drives the follower and the hub through faults. */
export interface MemoryBackbone extends Backbone, Stores {
  readonly log: MemoryLog;
  readonly source: MemorySource;
}

export function createMemoryBackbone(options: MemoryOptions = {}): MemoryBackbone {
  return new Memory(options);
}

class Memory implements MemoryBackbone {
  readonly log: MemoryLog;
  readonly source: MemorySource;
  readonly signals: MemorySignals;
  readonly #clock: Clock;
  readonly #follower: FollowerOptions;
  readonly #retentionMs: RetentionMs | undefined;
  readonly #buses = new Map<Namespace, MemoryBus>();
  readonly #shelves = new Map<string, Shelf>();
  readonly #tails = new Map<string, MemoryTail>();
  readonly #queueTerms: Partial<QueueTerms> | undefined;
  readonly #groupTerms: GroupTerms;
  readonly #queues = new Map<string, MemoryQueue>();

  constructor(options: MemoryOptions) {
    this.#clock = options.clock ?? systemClock;
    const { shards = 1, generation = 'm1', maxAgeMs = Number.POSITIVE_INFINITY } = options;
    this.log = options.log ?? new MemoryLog({ clock: this.#clock, shards, generation, maxAgeMs });
    this.#retentionMs = options.retentionMs;
    this.#queueTerms = options.queue;
    this.#groupTerms = { ...groupTerms, ...options.group };
    this.source = new MemorySource(this.log, this.#clock, options.network, options.latency);
    this.signals = new MemorySignals(this.log.wire, this.#clock, this.source);
    this.#follower = { clock: this.#clock, ...followerDefaults, ...options.follower };
  }

  get ready(): boolean {
    return this.source.reachable;
  }

  async start(): Promise<void> {}

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    for (const queue of this.#queues.values()) queue.close();
    for (const tail of this.#tails.values()) tail.close();
    for (const bus of this.#buses.values()) bus.close();
    this.source.close();
  }

  bus(namespace: Namespace): Bus {
    let bus = this.#buses.get(namespace);
    if (bus === undefined) {
      bus = new MemoryBus(
        this.log,
        this.source,
        namespace,
        this.#follower,
        this.#retentionMs,
        this.#groupTerms,
      );
      this.#buses.set(namespace, bus);
    }
    return bus;
  }

  ledger(name: string): Ledger {
    const ledger = this.log.ledgers.get(name) ?? new MemoryLedger(this.#clock);
    this.log.ledgers.set(name, ledger);
    return ledger;
  }

  shelf(name: string): Shelf {
    let shelf = this.#shelves.get(name);
    if (shelf === undefined) {
      checkShelfName(name);
      const store = this.log.shelves.get(name) ?? new ShelfStore(this.log, this.#clock);
      this.log.shelves.set(name, store);
      shelf = new MemoryShelf(store, this.source);
      this.#shelves.set(name, shelf);
    }
    return shelf;
  }

  tail(name: string): Tail {
    let tail = this.#tails.get(name);
    if (tail === undefined) {
      tail = new MemoryTail(name, this.log, this.source, this.#clock, this.ledger('tails'));
      this.#tails.set(name, tail);
    }
    return tail;
  }

  queue(name: string): Queue {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      checkName(name);
      const store = this.log.queues.get(name) ?? new QueueStore(this.log, this.#clock, this.#queueTerms);
      this.log.queues.set(name, store);
      queue = new MemoryQueue(store, this.source);
      this.#queues.set(name, queue);
    }
    return queue;
  }
}

class MemoryBus implements Bus {
  readonly #log: MemoryLog;
  readonly #source: MemorySource;
  readonly #namespace: Namespace;
  readonly #follower: FollowerOptions;
  readonly #retentionMs: RetentionMs | undefined;
  readonly #groupTerms: GroupTerms;
  readonly #groups = new Map<string, WorkGroup>();
  readonly #shares = new Set<MemoryShare>();

  constructor(
    log: MemoryLog,
    source: MemorySource,
    namespace: Namespace,
    follower: FollowerOptions,
    retentionMs: RetentionMs | undefined,
    terms: GroupTerms,
  ) {
    this.#log = log;
    this.#source = source;
    this.#namespace = namespace;
    this.#follower = follower;
    this.#retentionMs = retentionMs;
    this.#groupTerms = terms;
    source.onSuspicion(({ kind }) => {
      if (kind === 'connection_lost') for (const share of this.#shares) share.miss();
    });
    source.onReturn(() => {
      for (const share of this.#shares) share.back();
    });
    log.listen((entry) => {
      if (entry.namespace !== namespace) return;
      for (const group of this.#groups.values()) group.offer(entry.publication);
    });
  }

  async publish(
    drafts: readonly Draft[],
    succession = new Succession(),
  ): Promise<readonly (Stored | PushfleetError)[]> {
    return drafts.map((draft) => this.#append(draft, succession));
  }

  #append(draft: Draft, succession: Succession): Stored | PushfleetError {
    try {
      succession.require(draft.topic);
    } catch (refusal) {
      return PushfleetError.from(refusal);
    }
    const answer = this.#log.append(this.#namespace, draft);
    if (answer instanceof PushfleetError) succession.refused(draft.topic, answer);
    return answer;
  }

  follow(on: (item: Item<Publication>) => void): Following {
    return new Follower(this.#source, this.#namespace, on, this.#follower);
  }

  async *replay(
    filters: readonly TopicFilter[],
    after: Cursor | undefined,
    until: Cursor,
    signal: AbortSignal,
    onStart?: (start: Cursor) => void,
  ): AsyncIterable<readonly Item<Publication>[]> {
    const start = this.#startOf(after);
    const heads = this.#log.heads().sequences;
    const bounds = parseCursor(until);
    const own = bounds.generation === this.#log.generation;
    const end = heads.map((head, shard) => (own ? bounds.positions[shard] : undefined) ?? head);
    const retentionMs = shortestRetentionMs(this.#retentionMs, this.#namespace, filters);
    const { gap, range } = opening(start, this.#log.generation, end, retentionMs);
    onStart?.(startCursor(start, this.#log.generation));
    if (gap !== undefined) yield [gap];
    yield* this.#source.read(this.#namespace, filters, range, signal);
  }

  async find(topic: Topic, at: Cursor): Promise<Publication | undefined> {
    return this.#log.find(this.#namespace, topic, this.#sequenceOf(topic, at));
  }

  async delete(topic: Topic, at?: Cursor): Promise<Deletion> {
    const sequence = at === undefined ? undefined : this.#sequenceOf(topic, at);
    const deletion = this.#log.delete(this.#namespace, topic, sequence);
    for (const group of this.#groups.values()) group.drop(deletion);
    return deletion;
  }

  #sequenceOf(topic: Topic, at: Cursor): number {
    const { generation, positions } = parseCursor(at);
    const shard = shardOf(topic, this.#log.shards.length);
    return generation === this.#log.generation ? (positions[shard] ?? 0) : 0;
  }

  #startOf(cursor: Cursor | undefined): Start {
    this.#source.hearOfLeaders();
    const { generation, shards } = this.#log;
    const place = cursor === undefined ? { generation, positions: [], time: 0 } : parseCursor(cursor);
    const { sequences, time } = this.#log.heads();
    const foreign = place.generation !== generation;
    const beyond = sequences.some((head, shard) => (place.positions[shard] ?? 0) > head);
    const positions = sequences.map((head, shard) =>
      this.#position(shard, foreign ? { ...place, positions: [] } : place, head),
    );
    const shelves = shards.map((_, shard) => this.#log.shelf(shard));
    const trusted = this.trusts(place);
    return { cursor, place, positions, trusted, lost: foreign || beyond, shelves, now: time };
  }

  /** Where a shard resumes: at its position, or by the cursor's time where it has none in this log. */
  #position(shard: number, place: Place, head: number): number {
    const position = place.positions[shard];
    if (position === undefined || position > head) return this.#positionAt(shard, place.time, head);
    if (this.trusts(place)) return position;
    return Math.min(position, this.#positionAt(shard, place.time - mistrustMs, head));
  }

  #positionAt(shard: number, time: number, head: number): number {
    const first = this.#log.entries(shard).find(({ publication }) => publication.time >= time);
    return first === undefined ? head : first.publication.sequence - 1;
  }

  async at(
    places: readonly Pick<Publication, 'shard' | 'sequence'>[],
  ): Promise<readonly (Publication | undefined)[]> {
    if (places.length > 0) await this.#source.turn();
    return places.map(({ shard, sequence }) => this.#log.at(this.#namespace, shard, sequence));
  }

  async head(): Promise<Cursor> {
    const { sequences, time } = await this.#source.heads();
    const { name: leaders } = this.#source.leaders;
    return formatCursor({ generation: this.#log.generation, positions: sequences, time, leaders });
  }

  trusts(place: Place): boolean {
    return this.#source.leaders.trusts(place);
  }

  async *retained(filter: TopicFilter): AsyncIterable<readonly Publication[]> {
    const found = [];
    for (const { namespace, publication } of this.#log.retained()) {
      if (namespace === this.#namespace && matches(filter, publication.topic)) found.push(publication);
    }
    if (found.length > 0) yield found;
  }

  async work(
    group: string,
    filter: TopicFilter,
    options: WorkOptions,
    on: (publication: Publication, lease: { extend(): void }) => Promise<Verdict>,
  ): Promise<{ stop(): Promise<void> }> {
    let members = this.#groups.get(group);
    if (members === undefined) {
      members = new WorkGroup(this.#follower.clock, filter);
      this.#groups.set(group, members);
    }
    const leave = members.join(options, on);
    return {
      async stop() {
        leave();
      },
    };
  }
  async openGroup(group: string, filter: TopicFilter): Promise<void> {
    checkGroup(group);
    await this.#source.turn();
    const key = this.#keyOf(group);
    if (this.#log.groups.has(key)) return;
    const { clock } = this.#follower;
    this.#log.groups.set(key, new MemoryGroup(this.#log, clock, this.#namespace, filter));
  }

  async closeGroup(group: string): Promise<void> {
    checkGroup(group);
    await this.#source.turn();
    const key = this.#keyOf(group);
    this.#log.groups.get(key)?.close();
    this.#log.groups.delete(key);
  }

  share(group: string, on: (lent: Lent) => void, onGone: () => void): Share {
    checkGroup(group);
    const { clock } = this.#follower;
    const place = this.#log.groups.get(this.#keyOf(group));
    const share = new MemoryShare(place, this.#source, clock, this.#groupTerms, on, onGone);
    this.#shares.add(share);
    return {
      want: (count) => share.want(count),
      stop: () => {
        share.stop();
        this.#shares.delete(share);
      },
    };
  }

  /** As the end of the process. */
  close(): void {
    for (const share of this.#shares) share.die();
    this.#shares.clear();
  }

  // A namespace holds no blank.
  #keyOf(group: string): string {
    return `${this.#namespace} ${group}`;
  }
}
