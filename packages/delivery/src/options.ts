import type { Stores } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';
import type { Subscription, SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Fleet, Log, Metrics, RevocationList } from '@pushfleet/runtime';
import type { Standing } from './audit.ts';
import type { Consent } from './consent.ts';
import type { Courier } from './courier.ts';
import type { SubscriptionCalls } from './subscribers.ts';

/** Every bound and time of a worker. Times are milliseconds. */
export interface DeliveryLimits {
  /** After the first attempt the second comes so much later, and so on; behind the last is a dead letter. */
  readonly retryMs: readonly number[];
  /** No delivery is tried for longer after its first attempt; absent: for as long as the table can take. */
  readonly horizonMs?: number;
  /** The same of questions and farewells; behind the last the answer is no. */
  readonly questionRetryMs: readonly number[];
  /** Most deliveries on their way at once that answer in time. */
  readonly concurrency: number;
  /** Most deliveries on their way at once that do not. */
  readonly slow: number;
  /** Most deliveries to one receiver at once, where its subscription does not say. */
  readonly endpointConcurrency: number;
  /** Most deliveries a second to one receiver, where its subscription does not say. */
  readonly endpointRate: number;
  /** No attempt takes longer. */
  readonly timeoutMs: number;
  /** A receiver that failed so often in a row is left alone for a while. */
  readonly breakerFailures: number;
  /** For how long, at first; doubles up to sixteen times as long. */
  readonly breakerMs: number;
  /** A subscription that has failed for so long is suspended; Infinity: never. */
  readonly suspendAfterMs: number;
  /** Most deliveries that wait for one receiver; beyond, its subscription is suspended. */
  readonly queue: number;
  /** How long what waits for its receiver is kept. */
  readonly queueMs: number;
  readonly attemptsMs: number;
  readonly deadLettersMs: number;
}

export interface DeliveryOptions {
  /** Names the queue, the lanes and the tail: `webhook`. */
  readonly kind: string;
  readonly subscriptionKind: SubscriptionKind;
  /** The service whose instances share the work, as `fleet` knows it. */
  readonly service: string;
  readonly backbone: Backbone & Stores;
  readonly fleet: Pick<Fleet, 'instance' | 'instances'>;
  readonly registry: SubscriptionCalls;
  readonly revocations: RevocationList;
  readonly courier: Courier;
  /** What a receiver's word means; absent: it makes a subscription that waits for it active. */
  readonly consent?: Consent;
  /**
   * Nobody looks after its subscriptions: one that is stopped ends, and its receiver is told so; no news is published,
   * and neither attempts nor dead letters are kept. Absent: one that is stopped is suspended, for its owner to resume.
   */
  readonly ownerless?: boolean;
  /** Why the subscription must not be delivered to any more, beyond revoked rights; undefined where it may. */
  readonly objection?: (subscription: Subscription) => string | undefined;
  /** Of receivers without an owner: when to look for those that are objected to, to whom nothing is published. */
  readonly standing?: Standing;
  readonly limits: DeliveryLimits;
  readonly log: Log;
  readonly metrics: Metrics;
}
