import type { Ledger } from '@pushfleet/bus';
import type { Namespace } from '@pushfleet/core';
import type {
  MatchAnswer,
  MatchQuestion,
  SubscriptionKind,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log, Part } from '@pushfleet/runtime';
import type { Store } from '../redis.ts';
import type {
  IndexPage,
  IndexQuery,
  ReadChange,
  SubscriptionIndex,
} from '../subscriptions/subscription-index.ts';

export interface IndexOptions {
  readonly store: Store;
  /** The ledger `subscriptions`. */
  readonly ledger: Pick<Ledger, 'read'>;
  readonly changeOf: ReadChange;
  readonly log: Log;
  readonly now?: () => number;
}

/** The subscriptions in Redis, kept equal to the log. */
export class RedisIndex implements SubscriptionIndex, Part {
  readonly name = 'index';

  constructor(_options: IndexOptions) {}

  async start(): Promise<void> {}

  async drain(): Promise<void> {}

  async close(): Promise<void> {}

  async list(_query: IndexQuery): Promise<IndexPage> {
    throw new Error('to come');
  }

  async match(
    _kind: SubscriptionKind,
    _questions: readonly MatchQuestion[],
    _pageSize: number,
  ): Promise<readonly MatchAnswer[]> {
    throw new Error('to come');
  }

  async count(_namespace: Namespace): Promise<number> {
    throw new Error('to come');
  }
}
