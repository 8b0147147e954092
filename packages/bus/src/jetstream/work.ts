import { setTimeout as sleep } from 'node:timers/promises';
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerMessages,
  DeliverPolicy,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { Namespace, Publication, TopicFilter, Verdict, WorkOptions } from '@pushfleet/core';
import { checkGroup } from '../group-rules.ts';
import { filterOf, logScope, topicOf } from '../subject.ts';
import type { Broker } from './broker.ts';
import { decodePublication } from './headers.ts';
import { unavailable } from './link.ts';
import type { Log } from './log.ts';
import { patiently } from './retry.ts';
import { Hands } from './work-hands.ts';

export type Work = (publication: Publication, lease: { extend(): void }) => Promise<Verdict>;

export interface WorkLimits {
  /** How long a publication stays with a member that gives no verdict and does not extend, in milliseconds. */
  readonly leaseMs: number;
  /** Most publications that a group has in hand or waits to retry. */
  readonly openPerShard: number;
}

export const workLimits: WorkLimits = { leaseMs: 30_000, openPerShard: 10_000 };

const heartbeatMs = 2_000;
const retryAfterFailureMs = 1_000;
/**
 * Where a topic's order counts, a shard's publications go to one member at a time, and to another when that one
 * stops asking (priority groups, ADR-42). What a member that died had in hand comes back when its lease ends,
 * which may be behind later publications of the topic.
 */
const pinnedGroup = 'ordered';
const oneMember: Partial<ConsumerConfig> = {
  priority_groups: [pinnedGroup],
  priority_policy: 'pinned_client',
  priority_timeout: nanos(5_000),
};

/**
 * Joins a durable group: one pull consumer per shard, made at the first call and kept by the broker. A new group
 * begins with the oldest publication there is.
 */
export async function joinGroup(
  broker: Broker,
  log: Log,
  namespace: Namespace,
  group: string,
  filter: TopicFilter,
  options: WorkOptions & WorkLimits,
  on: Work,
): Promise<{ stop(): Promise<void> }> {
  checkGroup(group);
  const member = new Member(broker, log, namespace, `${namespace}=${group}`, filter, options, on);
  await member.join();
  return { stop: () => member.stop() };
}

class Member {
  readonly #broker: Broker;
  readonly #log: Log;
  readonly #namespace: Namespace;
  readonly #name: string;
  readonly #filter: TopicFilter;
  readonly #options: WorkOptions & WorkLimits;
  readonly #on: Work;
  readonly #hands: Hands;
  readonly #supplies = new Map<number, ConsumerMessages>();
  #stopped = false;

  constructor(
    broker: Broker,
    log: Log,
    namespace: Namespace,
    name: string,
    filter: TopicFilter,
    options: WorkOptions & WorkLimits,
    on: Work,
  ) {
    this.#broker = broker;
    this.#log = log;
    this.#namespace = namespace;
    this.#name = name;
    this.#filter = filter;
    this.#options = options;
    this.#on = on;
    this.#hands = new Hands(options.concurrency, options.orderedByTopic, options.leaseMs / 3);
  }

  async join(): Promise<void> {
    const shards = this.#broker.layout.views.map((_, shard) => shard);
    await Promise.all(shards.map((shard) => patiently(() => this.#supply(shard))));
    for (const shard of shards) void this.#run(shard);
    this.#broker.closing.addEventListener('abort', this.#leave, { once: true });
  }

  async stop(): Promise<void> {
    this.#broker.closing.removeEventListener('abort', this.#leave);
    this.#leave();
    await this.#hands.stop();
  }

  readonly #leave = (): void => {
    this.#stopped = true;
    for (const supply of this.#supplies.values()) supply.stop();
  };

  async #supply(shard: number): Promise<void> {
    const stream = this.#broker.stream(shard);
    const { connection } = this.#broker.bulk;
    try {
      const manager = await jetstreamManager(connection, { checkAPI: false });
      await manager.consumers.add(stream, {
        durable_name: this.#name,
        filter_subject: filterOf(logScope(this.#namespace, shard), this.#filter),
        ack_policy: AckPolicy.Explicit,
        ack_wait: nanos(this.#options.leaseMs),
        max_ack_pending: this.#options.openPerShard,
        deliver_policy: DeliverPolicy.All,
        ...(this.#options.orderedByTopic ? oneMember : {}),
      });
      const consumer = await jetstream(connection).consumers.get(stream, this.#name);
      this.#supplies.set(
        shard,
        await consumer.consume({
          max_messages: Math.max(2, this.#options.concurrency),
          idle_heartbeat: heartbeatMs,
          ...(this.#options.orderedByTopic ? { group: pinnedGroup } : {}),
        }),
      );
    } catch (error) {
      throw unavailable('The work group cannot be joined.', error);
    }
  }

  /** Takes from one shard as fast as hands are free; a consumer that somebody removed is made again. */
  async #run(shard: number): Promise<void> {
    while (!this.#stopped) {
      try {
        for await (const message of this.#supplies.get(shard) ?? []) await this.#take(shard, message);
        if (!this.#stopped) await this.#supply(shard);
      } catch (error) {
        this.#log.warn({ err: error, group: this.#name }, 'a work group lost its supply; joining again');
        await sleep(retryAfterFailureMs, undefined, { ref: false });
      }
    }
  }

  async #take(shard: number, message: JsMsg): Promise<void> {
    const topic = topicOf(logScope(this.#namespace, shard), message.subject);
    if (topic === undefined) return message.term('not a publication of the fleet');
    if (this.#stopped) return message.nak();
    const block = (message.headers as { encode?(): Uint8Array } | undefined)?.encode?.() ?? new Uint8Array();
    const { timestampNanos, streamSequence: sequence } = message.info;
    const time = Math.floor(timestampNanos / 1_000_000);
    const publication = decodePublication(block, message.data, topic, { time, shard, sequence });
    if (publication.expiresAt !== undefined && publication.expiresAt <= Date.now()) return message.ack();
    await this.#hands.take({
      topic,
      extend: () => message.working(),
      work: () => this.#work(publication, message),
      drop: () => void message.nak(),
    });
  }

  /** Gives the verdict to the broker; where a topic's order counts, a retry keeps its place and is waited for. */
  async #work(publication: Publication, message: JsMsg): Promise<number | undefined> {
    const verdict = await this.#ask(publication, message);
    if (verdict === 'done') message.ack();
    else if ('dead' in verdict) message.term(verdict.dead);
    else if (this.#options.orderedByTopic) return verdict.retryMs;
    else message.nak(verdict.retryMs);
    return undefined;
  }

  async #ask(publication: Publication, message: JsMsg): Promise<Verdict> {
    try {
      return await this.#on(publication, { extend: () => message.working() });
    } catch (error) {
      this.#log.error(
        { err: error, group: this.#name, topic: publication.topic },
        'work failed; trying again',
      );
      return { retryMs: retryAfterFailureMs };
    }
  }
}
