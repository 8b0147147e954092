import {
  formatCursor,
  type Item,
  matches,
  type Namespace,
  type Publication,
  PushfleetError,
  type TopicFilter,
} from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import { mayHaveAged } from '../gap.ts';
import { Leaders } from '../leaders.ts';
import type { LiveMessage, Range, Source, Suspicion } from '../source.ts';
import type { Entry, MemoryLog } from './log.ts';

/**
 * What a faulty network does to one message on its way to one interest: hands it over after `delaysMs`, once
 * for every number in it; an empty list loses it.
 */
export type Network = () => readonly number[];

/** How long the log takes to answer, in milliseconds. */
export type Latency = () => number;

const batchSize = 64;

interface Attached {
  readonly namespace: Namespace;
  readonly filter: TopicFilter;
  readonly on: (message: LiveMessage) => void;
}

/** The port of the follower on a log in memory, through a network that may lose, double and overtake. */
export class MemorySource implements Source {
  readonly #log: MemoryLog;
  readonly #clock: Clock;
  readonly #network: Network;
  readonly #latency: Latency;
  readonly #attached = new Set<Attached>();
  readonly #suspicious = new Set<(suspicion: Suspicion) => void>();
  readonly leaders = new Leaders((shard) => this.suspect({ kind: 'leader_changed', shard }));
  readonly #stopListening: () => void;
  readonly #onReturn = new Set<() => void>();
  #outages = 0;
  #failure: Error | undefined;

  constructor(log: MemoryLog, clock: Clock, network: Network = () => [0], latency: Latency = () => 0) {
    this.#log = log;
    this.#clock = clock;
    this.#network = network;
    this.#latency = latency;
    this.#stopListening = log.listen((entry) => this.#send(entry));
    this.hearOfLeaders();
  }

  get generation(): string {
    return this.#log.generation;
  }

  get shards(): number {
    return this.#log.shards.length;
  }

  /** Whether the log answers at this moment. */
  get reachable(): boolean {
    return this.#failure === undefined;
  }

  /** How many interests are attached at this moment. */
  get interests(): number {
    return this.#attached.size;
  }

  attach(namespace: Namespace, filter: TopicFilter, on: (message: LiveMessage) => void): { detach(): void } {
    const attached = { namespace, filter, on };
    this.#attached.add(attached);
    return { detach: () => this.#attached.delete(attached) };
  }

  async heads(): Promise<{ sequences: readonly number[]; time: number }> {
    const heads = this.#log.heads(); // already old when the answer arrives, as over a network
    await this.turn();
    this.hearOfLeaders();
    return heads;
  }

  /** The news of the shards' leaders, which every answer of the log brings along. */
  hearOfLeaders(): void {
    const since = this.#log.leaderSince;
    for (let shard = 0; shard < this.shards; shard++)
      this.leaders.hear(shard, { name: String(since), since });
  }

  async *read(
    namespace: Namespace,
    filters: readonly TopicFilter[],
    range: Range,
    signal: AbortSignal,
  ): AsyncIterable<readonly Item<Publication>[]> {
    const progress = [...range.after];
    for (let shard = 0; shard < this.shards; shard++) {
      const until = range.until[shard] ?? 0;
      if (until <= (progress[shard] ?? 0)) continue;
      const gap = this.#passHole(progress, shard, range);
      const found = this.#stretch(namespace, filters, shard, progress[shard] ?? 0, until);
      if (gap !== undefined) found.unshift(gap);
      for (let i = 0; i < found.length && !signal.aborted; i += batchSize) {
        await this.turn();
        yield found.slice(i, i + batchSize);
      }
      progress[shard] = until;
    }
  }

  #stretch(
    namespace: Namespace,
    filters: readonly TopicFilter[],
    shard: number,
    after: number,
    until: number,
  ): Item<Publication>[] {
    const items: Item<Publication>[] = [];
    for (const entry of this.#log.entries(shard)) {
      const { publication } = entry;
      if (publication.sequence <= after || publication.sequence > until || entry.namespace !== namespace)
        continue;
      if (!filters.some((filter) => matches(filter, publication.topic))) continue;
      items.push({ kind: 'publication', value: publication });
    }
    return items;
  }

  /** Goes behind what is stored no more; returns what there is to tell of it. */
  #passHole(progress: number[], shard: number, { until, since }: Range): Item<Publication> | undefined {
    const shelf = this.#log.shelf(shard);
    const end = Math.min(shelf.firstSequence - 1, until[shard] ?? 0);
    if ((progress[shard] ?? 0) >= end) return undefined;
    const cursor = () =>
      formatCursor({ generation: this.generation, positions: progress, time: Math.min(...since) });
    const from = cursor();
    progress[shard] = end;
    return mayHaveAged(since[shard] ?? 0, shelf) ? { kind: 'gap', from, to: cursor() } : undefined;
  }

  onSuspicion(on: (suspicion: Suspicion) => void): () => void {
    this.#suspicious.add(on);
    return () => this.#suspicious.delete(on);
  }

  /** Raises a suspicion, as a lost connection or a new leader would. */
  suspect(suspicion: Suspicion): void {
    for (const on of this.#suspicious) on(suspicion);
  }

  /** Cuts the connection: what was asked before and is asked from now on fails, until `restore`. */
  cut(failure: Error): void {
    this.#outages++;
    this.#failure = failure;
    this.suspect({ kind: 'connection_lost' });
  }

  restore(): void {
    this.#failure = undefined;
    for (const on of this.#onReturn) on();
  }

  onReturn(on: () => void): () => void {
    this.#onReturn.add(on);
    return () => this.#onReturn.delete(on);
  }

  close(): void {
    this.#stopListening();
    this.#attached.clear();
  }

  #send({ namespace, publication, lastSequence }: Entry): void {
    const { shard, sequence, topic } = publication;
    const message = { shard, sequence, lastSequence, topic, publication: () => publication };
    for (const attached of this.#attached) {
      if (attached.namespace !== namespace || !matches(attached.filter, topic)) continue;
      for (const delay of this.#network()) {
        this.#clock.after(delay, () => {
          if (this.#attached.has(attached)) attached.on(message);
        });
      }
    }
  }

  /** Resolves when the log has answered; rejects where it is cut off, or is before the answer. */
  turn(): Promise<void> {
    const { reachable } = this;
    const asked = this.#outages;
    return new Promise((resolve, reject) => {
      this.#clock.after(this.#latency(), () => {
        if (reachable && asked === this.#outages) resolve();
        else reject(this.#failure ?? lost());
      });
    });
  }
}

const lost = (): PushfleetError =>
  new PushfleetError('unavailable', 'The connection was lost before the log answered; try again.');
