import {
  type Backbone,
  type Bus,
  type Cursor,
  type Draft,
  type Following,
  formatCursor,
  type Item,
  matches,
  type Namespace,
  type Publication,
  type PushfleetError,
  parseCursor,
  type Stored,
  type TopicFilter,
  type Verdict,
  type WorkOptions,
} from '@pushfleet/core';
import { type Clock, systemClock } from '../clock.ts';
import { Follower, type FollowerOptions, followerDefaults } from '../follower.ts';
import type { Ledger } from '../ledger.ts';
import { MemoryLedger } from './ledger.ts';
import { MemoryLog } from './log.ts';
import { MemorySignals } from './signals.ts';
import { type Latency, MemorySource, type Network } from './source.ts';
import { WorkGroup } from './work.ts';

export interface MemoryOptions {
  readonly shards?: number;
  readonly generation?: string;
  readonly clock?: Clock;
  readonly network?: Network;
  readonly latency?: Latency;
  readonly follower?: Partial<FollowerOptions>;
  /** Several backbones on one log are several edges of one fleet. */
  readonly log?: MemoryLog;
}

/** A backbone without a broker: for tests, and for the simulation that drives the follower and the hub through faults. */
export interface MemoryBackbone extends Backbone {
  readonly log: MemoryLog;
  readonly source: MemorySource;
  ledger(name: string): Ledger;
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
  readonly #buses = new Map<Namespace, MemoryBus>();
  readonly #ledgers = new Map<string, Ledger>();

  constructor(options: MemoryOptions) {
    this.#clock = options.clock ?? systemClock;
    this.log = options.log ?? new MemoryLog(this.#clock, options.shards ?? 1, options.generation ?? 'm1');
    this.source = new MemorySource(this.log, this.#clock, options.network, options.latency);
    this.signals = new MemorySignals(this.log.wire, this.#clock, () => this.source.reachable);
    this.#follower = { clock: this.#clock, ...followerDefaults, ...options.follower };
  }

  get ready(): boolean {
    return this.source.reachable;
  }

  async start(): Promise<void> {}

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    this.source.close();
  }

  bus(namespace: Namespace): Bus {
    let bus = this.#buses.get(namespace);
    if (bus === undefined) {
      bus = new MemoryBus(this.log, this.source, namespace, this.#follower);
      this.#buses.set(namespace, bus);
    }
    return bus;
  }

  ledger(name: string): Ledger {
    let ledger = this.#ledgers.get(name);
    if (ledger === undefined) {
      ledger = new MemoryLedger(this.#clock);
      this.#ledgers.set(name, ledger);
    }
    return ledger;
  }
}

class MemoryBus implements Bus {
  readonly #log: MemoryLog;
  readonly #source: MemorySource;
  readonly #namespace: Namespace;
  readonly #follower: FollowerOptions;
  readonly #groups = new Map<string, WorkGroup>();

  constructor(log: MemoryLog, source: MemorySource, namespace: Namespace, follower: FollowerOptions) {
    this.#log = log;
    this.#source = source;
    this.#namespace = namespace;
    this.#follower = follower;
    log.listen((entry) => {
      if (entry.namespace !== namespace) return;
      for (const group of this.#groups.values()) group.offer(entry.publication);
    });
  }

  async publish(drafts: readonly Draft[]): Promise<readonly (Stored | PushfleetError)[]> {
    return drafts.map((draft) => this.#log.append(this.#namespace, draft));
  }

  follow(on: (item: Item<Publication>) => void): Following {
    return new Follower(this.#source, this.#namespace, on, this.#follower);
  }

  async *replay(
    filters: readonly TopicFilter[],
    after: Cursor,
    until: Cursor,
    signal: AbortSignal,
  ): AsyncIterable<readonly Item<Publication>[]> {
    const from = parseCursor(after);
    const heads = this.#log.heads().sequences;
    const bounds = parseCursor(until).positions;
    const lost = from.generation !== this.#log.generation;
    const range = {
      after: this.#log.shards.map((_, shard) => (lost ? 0 : this.#position(shard, from, heads[shard] ?? 0))),
      until: heads.map((head, shard) => bounds[shard] ?? head),
    };
    if (lost || from.positions.some((position, shard) => (position ?? 0) > (heads[shard] ?? 0))) {
      const { generation } = this.#log;
      yield [
        {
          kind: 'gap',
          from: after,
          to: formatCursor({ generation, positions: range.after, time: from.time }),
        },
      ];
    }
    yield* this.#source.read(this.#namespace, filters, range, signal);
  }

  /** Where a shard resumes: at its position, by the cursor's time where it has none, at the head where it lies beyond. */
  #position(shard: number, place: ReturnType<typeof parseCursor>, head: number): number {
    const position = place.positions[shard];
    if (position !== undefined) return Math.min(position, head);
    const entries = this.#log.shards[shard]?.entries ?? [];
    const first = entries.find(({ publication }) => publication.time >= place.time);
    return first === undefined ? head : first.publication.sequence - 1;
  }

  async head(): Promise<Cursor> {
    const { sequences, time } = await this.#source.heads();
    return formatCursor({ generation: this.#log.generation, positions: sequences, time });
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
}
