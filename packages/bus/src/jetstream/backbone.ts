import {
  type Backbone,
  type Bus,
  type Cursor,
  type Draft,
  type Following,
  formatCursor,
  type Item,
  type Namespace,
  type Publication,
  type PushfleetError,
  type Stored,
  type TopicFilter,
  type WorkOptions,
} from '@pushfleet/core';
import { systemClock } from '../clock.ts';
import { Follower, type FollowerOptions, followerDefaults } from '../follower.ts';
import type { Ledger } from '../ledger.ts';
import { Broker } from './broker.ts';
import { retained } from './kept.ts';
import { JetStreamLedger } from './ledger.ts';
import { type Log, silent } from './log.ts';
import { Publisher, type PublisherLimits } from './publisher.ts';
import { endOf, startOf } from './resume.ts';
import { JetStreamSignals } from './signals.ts';
import { JetStreamSource } from './source.ts';
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
  readonly follower?: Partial<FollowerOptions>;
}

/** A backbone on NATS JetStream. */
export interface JetStreamBackbone extends Backbone {
  /** A ledger that `migrate` made. */
  ledger(name: string): Ledger;
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
  readonly #options: JetStreamOptions;
  readonly #buses = new Map<Namespace, Bus>();
  readonly #ledgers = new Map<string, Ledger>();

  constructor(options: JetStreamOptions) {
    this.#options = options;
    this.#broker = new Broker({ ...options, log: options.log ?? silent });
    this.#publisher = new Publisher(this.#broker, options.publisher);
    this.#source = new JetStreamSource(this.#broker);
    this.signals = new JetStreamSignals(this.#broker.live, options.log ?? silent);
  }

  get ready(): boolean {
    return this.#broker.ready;
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
      bus = new JetStreamBus(this.#broker, this.#publisher, this.#source, namespace, this.#options);
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
}

class JetStreamBus implements Bus {
  readonly #broker: Broker;
  readonly #publisher: Publisher;
  readonly #source: JetStreamSource;
  readonly #namespace: Namespace;
  readonly #options: JetStreamOptions;

  constructor(
    broker: Broker,
    publisher: Publisher,
    source: JetStreamSource,
    namespace: Namespace,
    options: JetStreamOptions,
  ) {
    this.#broker = broker;
    this.#publisher = publisher;
    this.#source = source;
    this.#namespace = namespace;
    this.#options = options;
  }

  publish(drafts: readonly Draft[]): Promise<readonly (Stored | PushfleetError)[]> {
    return this.#publisher.publish(this.#namespace, drafts);
  }

  /** @throws PushfleetError `unavailable` while the log was never reached: how many shards it has is not known */
  follow(on: (item: Item<Publication>) => void): Following {
    const log = this.#options.log ?? silent;
    const onHealed: FollowerOptions['onHealed'] = (report) => {
      if (report.found > 0) log.warn(report, 'live publications were lost on the way and read from the log');
    };
    const options = { clock: systemClock, onHealed, ...followerDefaults, ...this.#options.follower };
    return new Follower(this.#source, this.#namespace, on, options);
  }

  async *replay(
    filters: readonly TopicFilter[],
    after: Cursor,
    until: Cursor,
    signal: AbortSignal,
  ): AsyncIterable<readonly Item<Publication>[]> {
    const [start, end] = await Promise.all([startOf(this.#broker, after), endOf(this.#broker, until)]);
    if (start.gapTo !== undefined) yield [{ kind: 'gap', from: after, to: start.gapTo }];
    yield* this.#source.read(this.#namespace, filters, { after: start.positions, until: end }, signal);
  }

  async head(): Promise<Cursor> {
    const { sequences, time } = await this.#broker.heads();
    return formatCursor({ generation: this.#broker.layout.generation, positions: sequences, time });
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
}
