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
  /** `revision` is of the end itself, or one more than the last known where that is not known. */
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

/**
 * The index of subscriptions that all instances share. It may lag behind the log, and may be lost: the log is the
 * truth. Every method throws PushfleetError `unavailable` without Redis.
 */
export interface SubscriptionIndex {
  /**
   * Settles once every instance matches, lists and counts by these changes. Changes come late, twice and out of order:
   * of one subscription the one with the greatest revision holds, also after a removal. Changes are also taken while
   * the index is not complete.
   */
  apply(changes: readonly IndexChange[]): Promise<void>;
  /**
   * Ids in ascending order, at most `limit`; fewer: there are no more.
   *
   * @throws PushfleetError `unavailable` while the index is not complete
   */
  list(query: IndexQuery): Promise<readonly string[]>;
  /**
   * Subscriptions that are active or paused and not expired, of one kind, page by page as MatchSubscriptions promises;
   * answers in the order of the questions, which are valid. All answers together hold at most 100,000 matches and about
   * 16 MiB; where there are more, answers end early, even empty, with a page token.
   *
   * @throws PushfleetError `unavailable` while the index is not complete, `request_invalid` for a page token that it
   * never gave
   */
  match(
    kind: SubscriptionKind,
    questions: readonly MatchQuestion[],
    pageSize: number,
  ): Promise<readonly MatchAnswer[]>;
  /**
   * How many a namespace has, of all kinds and in every state.
   *
   * @throws PushfleetError `unavailable` while the index is not complete
   */
  count(namespace: Namespace): Promise<number>;
  /**
   * The revision up to which all changes of the log are known to be applied; undefined while the index is not
   * complete: Redis is new or was emptied.
   */
  mark(): Promise<number | undefined>;
  /** Says that all changes up to `revision` are applied. Only moves forward, and only where there is a mark already. */
  advance(revision: number): Promise<void>;
  /**
   * Makes the index equal to the log's state as of `revision`: takes the entries, drops what is held with a smaller or
   * equal revision and is not among them, then sets the mark. Several instances may do so at once. What is newer than
   * `revision` stays.
   *
   * @param entries in batches; the next is not read before the last is taken
   */
  rebuild(entries: AsyncIterable<readonly IndexEntry[]>, revision: number): Promise<void>;
}
