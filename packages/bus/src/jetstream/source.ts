import type { Msg } from '@nats-io/transport-node';
import type { Item, Namespace, Publication, Topic, TopicFilter } from '@pushfleet/core';
import type { Leaders } from '../leaders.ts';
import type { LiveMessage, Range, Source, Suspicion } from '../source.ts';
import { filterOf, liveScope, topicOf } from '../subject.ts';
import { parseTime } from './api.ts';
import type { Broker } from './broker.ts';
import { BrokerLines, decodePublication } from './headers.ts';
import { rawBlock } from './raw.ts';
import { readRange } from './replay.ts';
import { shardOfStream } from './streams.ts';

/** The follower's port on JetStream: core interests on what the streams republish, and direct reads. */
export class JetStreamSource implements Source {
  readonly #broker: Broker;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  get generation(): string {
    return this.#broker.layout.generation;
  }

  get shards(): number {
    return this.#broker.layout.shards;
  }

  get leaders(): Leaders {
    return this.#broker.leaders;
  }

  attach(namespace: Namespace, filter: TopicFilter, on: (message: LiveMessage) => void): { detach(): void } {
    const scope = liveScope(namespace);
    const { layout } = this.#broker;
    const shardOf = memoized((stream) => shardOfStream(stream, layout));
    const interest = this.#broker.live.connection.subscribe(filterOf(scope, filter), {
      callback: (error, message) => {
        const live = error === null ? this.#read(scope, shardOf, message) : undefined;
        if (live !== undefined) on(live);
      },
    });
    return { detach: () => interest.unsubscribe() };
  }

  heads(): Promise<{ readonly sequences: readonly number[]; readonly time: number }> {
    return this.#broker.heads();
  }

  read(
    namespace: Namespace,
    filters: readonly TopicFilter[],
    range: Range,
    signal: AbortSignal,
  ): AsyncIterable<readonly Item<Publication>[]> {
    return readRange(this.#broker, namespace, filters, range, signal);
  }

  onSuspicion(on: (suspicion: Suspicion) => void): () => void {
    return this.#broker.onSuspicion(on);
  }

  /** Only what a stream of this generation republished counts; anything else on the subject is not ours. */
  #read(scope: string, shardOf: (stream: string) => number | undefined, message: Msg): Live | undefined {
    const lines = new BrokerLines(rawBlock(message));
    const shard = shardOf(lines.get('Nats-Stream') ?? '');
    const sequence = lines.number('Nats-Sequence');
    const topic = topicOf(scope, message.subject);
    if (shard === undefined || sequence === undefined || topic === undefined) return undefined;
    return new Live(message, topic, shard, sequence, lines.number('Nats-Last-Sequence') ?? 0);
  }
}

class Live implements LiveMessage {
  readonly topic: Topic;
  readonly shard: number;
  readonly sequence: number;
  readonly lastSequence: number;
  readonly #message: Msg;
  #publication: Publication | undefined;

  constructor(message: Msg, topic: Topic, shard: number, sequence: number, lastSequence: number) {
    this.#message = message;
    this.topic = topic;
    this.shard = shard;
    this.sequence = sequence;
    this.lastSequence = lastSequence;
  }

  publication(): Publication {
    if (this.#publication === undefined) {
      const block = rawBlock(this.#message);
      const { shard, sequence, topic } = this;
      const time = parseTime(new BrokerLines(block).get('Nats-Time-Stamp'));
      this.#publication = decodePublication(block, this.#message.data, topic, { shard, sequence, time });
    }
    return this.#publication;
  }
}

/** Stream names are few and come with every message. */
function memoized<T>(find: (key: string) => T): (key: string) => T {
  const known = new Map<string, T>();
  return (key) => {
    if (known.has(key)) return known.get(key) as T;
    const value = find(key);
    if (known.size < 256) known.set(key, value);
    return value;
  };
}
