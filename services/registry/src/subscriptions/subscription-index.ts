import type { LedgerEntry } from '@pushfleet/bus';
import type { Cursor, Namespace, TopicFilter } from '@pushfleet/core';
import type {
  MatchAnswer,
  MatchQuestion,
  Selection,
  SubscriptionKind,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** What the index holds of a subscription: what matching, listing and counting ask for, and no secret. */
export interface IndexEntry {
  readonly namespace: Namespace;
  readonly id: string;
  readonly revision: number;
  readonly kind: SubscriptionKind;
  readonly state: SubscriptionState;
  readonly filter: TopicFilter;
  /** The `sub` of its owner. */
  readonly owner: string;
  readonly ordered: boolean;
  readonly selection: Selection | undefined;
  /** Not matched by publications at or before this place. */
  readonly startCursor: Cursor;
  /** Not matched, listed or counted from then on; Unix time in milliseconds, undefined: never. */
  readonly expiresAt: number | undefined;
}

/** What happened to one subscription. */
export type IndexChange =
  | { readonly kind: 'put'; readonly entry: IndexEntry }
  /** `revision` is of the end itself. */
  | {
      readonly kind: 'remove';
      readonly namespace: Namespace;
      readonly id: string;
      readonly revision: number;
    };

/** Which subscriptions of a namespace are listed; what is undefined does not narrow. */
export interface IndexQuery {
  readonly namespace: Namespace;
  readonly owner: string | undefined;
  readonly kind: SubscriptionKind | undefined;
  readonly filter: TopicFilter | undefined;
  readonly state: SubscriptionState | undefined;
  /** Only ids behind this one; empty: from the beginning. */
  readonly after: string;
  readonly limit: number;
}

export interface IndexPage {
  /** In ascending order. */
  readonly ids: readonly string[];
  /** The `after` of the next page; undefined: this was the last. */
  readonly next: string | undefined;
}

/** What an entry of the log's `subscriptions` ledger means to the index; undefined: it is no record of a subscription. */
export type ReadChange = (entry: LedgerEntry) => IndexChange | undefined;

/**
 * The index of subscriptions that all instances share. It follows the log by itself: for each answer it asks the log
 * for its head and takes what it has not seen. So an answer knows all that the log held when the question came,
 * whoever wrote it; a change is settled once the log has it, also while Redis is away. Redis new, emptied or behind is
 * found at the next question and made good from the log. The one there is: `RedisIndex` in ../index/redis-index.ts. Every method throws PushfleetError `unavailable` without
 * Redis, without the log, and while the index is being rebuilt.
 */
export interface SubscriptionIndex {
  /** A page looks at so many subscriptions at most, and may hold less than `limit`, even nothing, before the last. */
  list(query: IndexQuery): Promise<IndexPage>;
  /**
   * Subscriptions that are active or paused and not expired, of one kind, page by page as MatchSubscriptions promises;
   * answers in the order of the questions, which are valid. All answers together hold at most 100,000 matches and about
   * 16 MiB; where there are more, answers end early, even empty, with a page token.
   *
   * @throws PushfleetError `request_invalid` for a page token that it never gave
   */
  match(
    kind: SubscriptionKind,
    questions: readonly MatchQuestion[],
    pageSize: number,
  ): Promise<readonly MatchAnswer[]>;
  /** How many a namespace has, of all kinds and in every state. */
  count(namespace: Namespace): Promise<number>;
}
