// What the tests of this package share: a worker on a log in memory, with receivers that are functions.
import { createMemoryBackbone, type Stores } from '@pushfleet/bus';
import {
  type Backbone,
  matches,
  type Namespace,
  type Publication,
  PushfleetError,
  parseCursor,
  parseTopic,
  type Stored,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import {
  type MatchAnswer,
  Subscription,
  type SubscriptionChange,
  SubscriptionKind,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog, createMetrics, type Part } from '@pushfleet/runtime';
import type { Outcome } from './attempt.ts';
import type { Courier, Errand } from './courier.ts';
import type { DeliveryLimits, DeliveryOptions } from './options.ts';
import { keyOf, type SubscriptionRef } from './place.ts';
import {
  type ListedSubscriptions,
  type ReadSubscriptions,
  refOf,
  type SubscriptionCalls,
} from './subscribers.ts';
import { createDeliveryWorker } from './worker.ts';

export const namespace = 'ns' as Namespace;

/** A registry as the worker sees it, with its records in memory. */
export class TestRegistry implements SubscriptionCalls {
  readonly records = new Map<string, Subscription>();
  readonly ended: string[] = [];
  readonly #watchers = new Set<(change: SubscriptionChange) => void>();
  #revision = 0n;
  /** How many matches a page has. */
  pageSize = 1_000;
  /** Ids of records that cannot be opened. */
  readonly sealed = new Set<string>();
  /** Calls fail while it is away. */
  away = false;

  put(id: string, more: Partial<Subscription> & { readonly ordered?: boolean } = {}): SubscriptionRef {
    const { ordered = false, ...fields } = more;
    const subscription = Subscription.fromPartial({
      ...{ namespace, id, filter: '#', state: SubscriptionState.SUBSCRIPTION_STATE_ACTIVE },
      authority: { subject: 'owner' },
      target: { $case: 'webhook', webhook: { url: `https://${id}.example.com/`, ordered } },
      ...fields,
      revision: ++this.#revision,
    });
    this.records.set(keyOf(refOf(subscription)), subscription);
    this.#tell(subscription, false);
    return refOf(subscription);
  }

  async match(
    _: SubscriptionKind,
    questions: Parameters<SubscriptionCalls['match']>[1],
  ): Promise<MatchAnswer[]> {
    this.#here();
    return questions.map(({ topic, cursor, pageToken }) => {
      const all = [...this.records.values()]
        .filter(
          ({ filter, state }) =>
            matches(filter as TopicFilter, topic as Topic) && (state === 2 || state === 3),
        )
        .filter(({ startCursor }) => startCursor === '' || isBehind(cursor, startCursor))
        .map(({ id, target, selection }) => ({ id, ordered: isOrdered(target), selection }))
        .toSorted((a, b) => Number(b.ordered) - Number(a.ordered));
      const from = Number(pageToken);
      const more = from + this.pageSize < all.length;
      return {
        matches: all.slice(from, from + this.pageSize),
        nextPageToken: more ? String(from + this.pageSize) : '',
      };
    });
  }

  async list(_: SubscriptionKind, ns: Namespace, pageToken: string): Promise<ListedSubscriptions> {
    this.#here();
    const all = [...this.records.values()].filter((record) => record.namespace === ns);
    const from = Number(pageToken);
    const next = from + this.pageSize < all.length ? String(from + this.pageSize) : undefined;
    return { found: all.slice(from, from + this.pageSize), next };
  }

  async read(refs: readonly SubscriptionRef[]): Promise<ReadSubscriptions> {
    this.#here();
    const sealed = refs.filter((ref) => this.sealed.has(ref.id)).map((ref) => ({ ref, reason: 'no key' }));
    const open = refs.filter((ref) => !this.sealed.has(ref.id));
    return { found: open.flatMap((ref) => this.records.get(keyOf(ref)) ?? []), sealed };
  }

  async change(subscription: Subscription, fields: readonly string[]): Promise<Subscription> {
    this.#here();
    const held = this.records.get(keyOf(refOf(subscription)));
    if (held === undefined) throw new PushfleetError('not_found', 'no such subscription');
    if (held.revision !== subscription.revision) throw new PushfleetError('conflict', 'somebody was first');
    const taken = fields.map((field) => field.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()));
    const changes = Object.entries(subscription).filter(([name]) => taken.includes(name));
    return this.records.get(
      keyOf(this.put(held.id, { ...held, ordered: isOrdered(held.target), ...Object.fromEntries(changes) })),
    ) as Subscription;
  }

  async create(subscription: Subscription): Promise<Subscription> {
    this.#here();
    const { id } = subscription;
    if (this.records.has(keyOf(refOf(subscription)))) throw new PushfleetError('conflict', 'there is one');
    return this.records.get(keyOf(this.put(id, subscription))) as Subscription;
  }

  async end(ref: SubscriptionRef, reason: string, revision?: bigint): Promise<void> {
    this.#here();
    const held = this.records.get(keyOf(ref));
    if (held === undefined) return;
    if (revision !== undefined && held.revision !== revision)
      throw new PushfleetError('conflict', 'somebody was first');
    this.records.delete(keyOf(ref));
    this.ended.push(`${ref.id}: ${reason}`);
    this.#tell(held, true);
  }

  watch(_: SubscriptionKind, onChange: (change: SubscriptionChange) => void): { stop(): void } {
    this.#watchers.add(onChange);
    return { stop: () => this.#watchers.delete(onChange) };
  }

  #tell({ id, revision }: Subscription, deleted: boolean): void {
    for (const on of this.#watchers) on({ namespace, id, revision, deleted });
  }

  #here(): void {
    if (this.away) throw new PushfleetError('unavailable', 'the registry is away');
  }
}

const isOrdered = (target: Subscription['target']): boolean =>
  target?.$case === 'webhook' && target.webhook.ordered;

function isBehind(cursor: string, start: string): boolean {
  const [a, b] = [parseCursor(cursor), parseCursor(start)];
  return a.positions.some((position, shard) => (position ?? 0) > (b.positions[shard] ?? 0));
}

/** Receivers: what each was called with, and what it answers. */
export class TestCourier implements Courier {
  readonly errands: Errand[] = [];
  /** Most that were on their way at once. */
  most = 0;
  #now = 0;
  answer: (errand: Errand) => Outcome | Promise<Outcome> = () => delivered;

  async attempt(errand: Errand): Promise<Outcome> {
    this.errands.push(errand);
    this.most = Math.max(this.most, ++this.#now);
    try {
      return await this.answer(errand);
    } finally {
      this.#now--;
    }
  }

  /** Ids of the publications that a receiver was called with, in order. */
  seen(id: string): string[] {
    return this.errands
      .filter(({ subscription }) => subscription.id === id)
      .map(({ publication }) => publication?.id ?? '-');
  }
}

export const delivered: Outcome = { verdict: 'delivered', status: 204, durationMs: 1 };
export const failed: Outcome = { verdict: 'failed', status: 500, durationMs: 1, error: 'It answered 500.' };

const testLimits: DeliveryLimits = {
  ...{
    retryMs: [50, 50, 50],
    questionRetryMs: [50, 50, 50],
    concurrency: 100,
    slow: 1_000,
    endpointConcurrency: 10,
    endpointRate: 10_000,
  },
  ...{ timeoutMs: 2_000, breakerFailures: 5, breakerMs: 200, suspendAfterMs: 60_000, queue: 1_000 },
  ...{ queueMs: 3_600_000, attemptsMs: 3_600_000, deadLettersMs: 3_600_000 },
};

export interface TestFleet {
  readonly backbone: Backbone & Stores;
  readonly registry: TestRegistry;
  readonly courier: TestCourier;
  publish(id: string, topic?: string): Promise<Stored>;
  /** Another worker, with the same receivers. */
  worker(limits?: Partial<DeliveryLimits>, more?: Partial<DeliveryOptions>): Promise<Part>;
  close(): Promise<void>;
}

/** Workers on a log, in memory where none is given. */
export function testFleet(backbone: Backbone & Stores = createMemoryBackbone()): TestFleet {
  const registry = new TestRegistry();
  const courier = new TestCourier();
  const workers: Part[] = [];
  const instances: { instance: string; service: string }[] = [];
  return {
    backbone,
    registry,
    courier,
    publish: async (id, topic = 'a/b') => {
      const [answer] = await backbone.bus(namespace).publish([draft(id, topic)]);
      if (answer instanceof PushfleetError) throw answer;
      return answer as Stored;
    },
    worker: async (limits = {}, more = {}) => {
      const self = { instance: `worker-${instances.length}`, service: 'delivery-test' };
      instances.push(self);
      const worker = createDeliveryWorker({
        ...{
          kind: 'webhook',
          subscriptionKind: SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK,
          service: self.service,
        },
        ...{ backbone, registry, courier, limits: { ...testLimits, ...limits } },
        fleet: { instance: self.instance, instances: () => instances },
        revocations: { revoked: () => false, onRevoked: () => () => {} },
        log: createLog({ name: 'test', level: process.env.TEST_LOG ?? 'silent' }),
        metrics: createMetrics(),
        ...more,
      });
      await worker.start();
      workers.push(worker);
      return {
        ...worker,
        name: worker.name,
        start: async () => {},
        drain: (deadline) => {
          instances.splice(instances.indexOf(self), 1);
          return worker.drain(deadline);
        },
        close: () => {
          if (instances.includes(self)) instances.splice(instances.indexOf(self), 1);
          return worker.close();
        },
      };
    },
    close: async () => {
      for (const worker of workers) await worker.close();
      await backbone.close();
    },
  };
}

function draft(id: string, topic: string): Omit<Publication, 'time' | 'shard' | 'sequence'> {
  const payload = Buffer.from(`payload of ${id}`);
  return { id, source: 'test', topic: parseTopic(topic), contentType: 'text/plain', payload };
}
