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
  type Namespace,
  type Place,
  type Publication,
  type PushfleetError,
  type Share,
  type Stored,
  type Succession,
  type Topic,
  type TopicFilter,
  type WorkOptions,
} from '@pushfleet/core';
import { systemClock } from '../clock.ts';
import { Follower, type FollowerOptions, followerDefaults } from '../follower.ts';
import { opening, type RetentionMs, shortestRetentionMs, startCursor } from '../gap.ts';
import { checkGroup, type GroupTerms } from '../group-rules.ts';
import type { Ledger } from '../ledger.ts';
import type { Queue } from '../queue.ts';
import { checkName, type QueueTerms } from '../queue-rules.ts';
import type { Shelf } from '../shelf.ts';
import { checkShelfName } from '../shelf-rules.ts';
import type { Stores } from '../stores.ts';
import type { Tail } from '../tail.ts';
import { Broker, type LogTerms, type ShardState } from './broker.ts';
import { closeGroup, openGroup } from './group.ts';
import { GroupShares } from './group-shares.ts';
import { retained } from './kept.ts';
import { JetStreamLedger } from './ledger.ts';
import { type Log, silent } from './log.ts';
import { publicationsAt } from './places.ts';
import { Publisher, type PublisherLimits } from './publisher.ts';
import { JetStreamQueue } from './queue.ts';
import { endOf, startOf } from './resume.ts';
import { JetStreamShelf } from './shelf.ts';
import { JetStreamSignals } from './signals.ts';
import { JetStreamSource } from './source.ts';
import { checkTailName, JetStreamTail } from './tail.ts';
import { TopicLog } from './topic-log.ts';
import { joinGroup, type Work, type WorkLimits, workLimits } from './work.ts';

export interface JetStreamOptions {
  /** Addresses of the servers, comma-separated. */
  readonly servers: string;
  /** The contents of a NATS credentials file. */
  readonly creds?: string;
  /** Shown in the server's list of connections: the service and its instance. */
  readonly name: string;
  readonly log?: Log;
  readonly publisher?: Partial<PublisherLimits>;
  readonly work?: Partial<WorkLimits>;
  readonly group?: Partial<GroupTerms>;
  readonly queue?: Partial<QueueTerms>;
  readonly follower?: Partial<FollowerOptions>;
  /** Told of publications that were lost on the way and found in the log. */
  readonly onHealed?: (report: { readonly reason: string; readonly found: number }) => void;
  /** A replay from before this is told of a gap. */
  readonly retentionMs?: RetentionMs;
}

/** A backbone on NATS JetStream. */
export interface JetStreamBackbone extends Backbone, Stores {
  /** As the streams said last; undefined before they were seen. */
  readonly terms: LogTerms | undefined;
  /** How each shard stands; undefined for one whose leader did not answer lately. */
  readonly shards: readonly (ShardState | undefined)[];
}

/**
 * The fleet's log on NATS JetStream. `start` verifies the streams and never creates one; with NATS away it goes
 * on trying, and until then everything but `start` fails with `unavailable`.
 */
export function connectJetStream(options: JetStreamOptions): JetStreamBackbone {
  return new Connected(options);
}

class Connected implements JetStreamBackbone {
  readonly signals: JetStreamSignals;
  readonly #broker: Broker;
  readonly #publisher: Publisher;
  readonly #source: JetStreamSource;
  readonly #shares: GroupShares;
  readonly #options: JetStreamOptions;
  readonly #buses = new Map<Namespace, Bus>();
  readonly #ledgers = new Map<string, Ledger>();
  readonly #shelves = new Map<string, Shelf>();
  readonly #queues = new Map<string, Queue>();
  readonly #tails = new Map<string, Tail>();

  constructor(options: JetStreamOptions) {
    this.#options = options;
    this.#broker = new Broker({ ...options, log: options.log ?? silent });
    this.#publisher = new Publisher(this.#broker, options.publisher);
    this.#source = new JetStreamSource(this.#broker);
    this.#shares = new GroupShares(this.#broker, options.log ?? silent, options.group);
    this.signals = new JetStreamSignals(this.#broker.live, options.log ?? silent);
  }

  get ready(): boolean {
    return this.#broker.ready;
  }

  get terms(): LogTerms | undefined {
    return this.#broker.terms;
  }

  get shards(): readonly (ShardState | undefined)[] {
    return this.#broker.shards;
  }

  start(): Promise<void> {
    return this.#broker.start();
  }

  drain(deadline: AbortSignal): Promise<void> {
    return this.#publisher.drain(deadline);
  }

  async close(): Promise<void> {
    this.#publisher.close();
    await this.#broker.close();
  }

  bus(namespace: Namespace): Bus {
    let bus = this.#buses.get(namespace);
    if (bus === undefined) {
      const parts = { publisher: this.#publisher, source: this.#source, shares: this.#shares };
      bus = new JetStreamBus(this.#broker, parts, namespace, this.#options);
      this.#buses.set(namespace, bus);
    }
    return bus;
  }

  ledger(name: string): Ledger {
    let ledger = this.#ledgers.get(name);
    if (ledger === undefined) {
      ledger = new JetStreamLedger(this.#broker.bulk, name);
      this.#ledgers.set(name, ledger);
    }
    return ledger;
  }

  shelf(name: string): Shelf {
    let shelf = this.#shelves.get(name);
    if (shelf === undefined) {
      checkShelfName(name);
      shelf = new JetStreamShelf(this.#broker, name);
      this.#shelves.set(name, shelf);
    }
    return shelf;
  }

  queue(name: string): Queue {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      checkName(name);
      queue = new JetStreamQueue(this.#broker, this.#options.log ?? silent, name, this.#options.queue);
      this.#queues.set(name, queue);
    }
    return queue;
  }

  tail(name: string): Tail {
    let tail = this.#tails.get(name);
    if (tail === undefined) {
      checkTailName(name);
      tail = new JetStreamTail(this.#broker, this.#options.log ?? silent, name, this.ledger('tails'));
      this.#tails.set(name, tail);
    }
    return tail;
  }
}

/** What the buses of all namespaces stand on. */
interface Parts {
  readonly publisher: Publisher;
  readonly source: JetStreamSource;
  readonly shares: GroupShares;
}

class JetStreamBus implements Bus {
  readonly #broker: Broker;
  readonly #publisher: Publisher;
  readonly #source: JetStreamSource;
  readonly #shares: GroupShares;
  readonly #namespace: Namespace;
  readonly #options: JetStreamOptions;

  constructor(
    broker: Broker,
    { publisher, source, shares }: Parts,
    namespace: Namespace,
    options: JetStreamOptions,
  ) {
    this.#broker = broker;
    this.#publisher = publisher;
    this.#source = source;
    this.#shares = shares;
    this.#namespace = namespace;
    this.#options = options;
  }

  publish(drafts: readonly Draft[], succession?: Succession): Promise<readonly (Stored | PushfleetError)[]> {
    return this.#publisher.publish(this.#namespace, drafts, succession);
  }

  /** @throws PushfleetError `unavailable` while the log was never reached: how many shards it has is not known */
  follow(on: (item: Item<Publication>) => void): Following {
    const log = this.#options.log ?? silent;
    const onHealed: FollowerOptions['onHealed'] = (report) => {
      if (report.found === 0) return;
      log.warn(report, 'live publications were lost on the way and read from the log');
      this.#options.onHealed?.(report);
    };
    const options = { clock: systemClock, onHealed, ...followerDefaults, ...this.#options.follower };
    return new Follower(this.#source, this.#namespace, on, options);
  }

  async *replay(
    filters: readonly TopicFilter[],
    after: Cursor | undefined,
    until: Cursor,
    signal: AbortSignal,
    onStart?: (start: Cursor) => void,
  ): AsyncIterable<readonly Item<Publication>[]> {
    const [start, end] = await Promise.all([startOf(this.#broker, after), endOf(this.#broker, until)]);
    const retentionMs = shortestRetentionMs(this.#options.retentionMs, this.#namespace, filters);
    const { gap, range } = opening(start, this.#source.generation, end, retentionMs);
    onStart?.(startCursor(start, this.#source.generation));
    if (gap !== undefined) yield [gap];
    yield* this.#source.read(this.#namespace, filters, range, signal);
  }

  async find(topic: Topic, at: Cursor): Promise<Publication | undefined> {
    return this.#topic(topic).find(at);
  }

  async delete(topic: Topic, at?: Cursor): Promise<Deletion> {
    return at === undefined ? this.#topic(topic).deleteAll() : this.#topic(topic).deleteOne(at);
  }

  #topic(topic: Topic): TopicLog {
    return new TopicLog(this.#broker, this.#namespace, topic);
  }

  async at(
    places: readonly Pick<Publication, 'shard' | 'sequence'>[],
  ): Promise<readonly (Publication | undefined)[]> {
    return publicationsAt(this.#broker, this.#namespace, places);
  }

  async head(): Promise<Cursor> {
    const { sequences: positions, time } = await this.#broker.heads();
    const { layout, leaders } = this.#broker;
    return formatCursor({ generation: layout.generation, positions, time, leaders: leaders.name });
  }

  trusts(place: Place): boolean {
    return this.#broker.leaders.trusts(place);
  }

  retained(filter: TopicFilter, signal: AbortSignal): AsyncIterable<readonly Publication[]> {
    return retained(this.#broker, this.#namespace, filter, signal);
  }

  work(
    group: string,
    filter: TopicFilter,
    options: WorkOptions,
    on: Work,
  ): Promise<{ stop(): Promise<void> }> {
    const log = this.#options.log ?? silent;
    const all = { ...workLimits, ...this.#options.work, ...options };
    return joinGroup(this.#broker, log, this.#namespace, group, filter, all, on);
  }
  async openGroup(group: string, filter: TopicFilter): Promise<void> {
    checkGroup(group);
    await openGroup(this.#broker, this.#namespace, group, filter, this.#shares.terms.leaseMs);
  }

  async closeGroup(group: string): Promise<void> {
    checkGroup(group);
    await closeGroup(this.#broker, this.#namespace, group);
  }
  share(group: string, on: (lent: Lent) => void, onGone: () => void): Share {
    checkGroup(group);
    return this.#shares.share(this.#namespace, group, on, onGone);
  }
}
