import type { Namespace } from '@pushfleet/core';
import type {
  MatchAnswer,
  MatchQuestion,
  Subscription,
  SubscriptionChange,
  SubscriptionKind,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Part } from '@pushfleet/runtime';

/** Which subscriptions are listed; what is absent does not narrow. */
export interface ListQuery {
  readonly namespace: Namespace;
  /** The `sub` of the owner. */
  readonly owner?: string;
  readonly kind?: SubscriptionKind;
  /** Exactly this filter. */
  readonly filter?: string;
  readonly state?: SubscriptionState;
  /** Of the page before; absent or empty: from the beginning. */
  readonly pageToken?: string;
  /** 1 to 1,000. */
  readonly pageSize: number;
}

export interface ListPage {
  /** In the order of their ids, without secrets. */
  readonly subscriptions: readonly Subscription[];
  /** For the next page; undefined: this was the last. */
  readonly next: string | undefined;
}

/** The subscriptions of the fleet: the log is the truth, the index in Redis follows it. */
export interface Subscriptions extends Part {
  /**
   * Stores a subscription; `id` is chosen where it is empty, `startCursor` is the log's head where it is empty.
   * Settles once whichever instance matches it. A failure with `unavailable` may have stored it: repeated with the
   * same id it answers `conflict` then.
   *
   * @returns the record without secrets
   * @throws PushfleetError `request_invalid`, `filter_invalid`, `cursor_invalid`, `conflict`, `quota_subscriptions`,
   * `storage_full`, `unavailable`
   */
  create(draft: Subscription): Promise<Subscription>;
  /** @throws PushfleetError `not_found`, `unavailable` without the log */
  get(namespace: Namespace, id: string, options?: { readonly withSecrets?: boolean }): Promise<Subscription>;
  /** Those that exist, in no particular order; at most 1,000. @throws PushfleetError `unavailable` without the log */
  getMany(
    namespace: Namespace,
    ids: readonly string[],
    options?: { readonly withSecrets?: boolean },
  ): Promise<readonly Subscription[]>;
  /** @throws PushfleetError `request_invalid`, `unavailable` without the log or the index */
  list(query: ListQuery): Promise<ListPage>;
  /**
   * Changes the fields that `paths` name, such as `state` or `webhook.url`, where the record is at `wanted.revision`.
   * A secret that is left empty stays what it was, so that what was read without secrets can be written back.
   *
   * @returns the record after the change, without secrets
   * @throws PushfleetError `not_found`, `conflict`, `request_invalid`, `filter_invalid`, `cursor_invalid`, `unavailable`
   */
  update(wanted: Subscription, paths: readonly string[]): Promise<Subscription>;
  /**
   * Ends a subscription; none there is no error.
   *
   * @throws PushfleetError `conflict` where it is not at `ifRevision`, `unavailable`
   */
  delete(
    namespace: Namespace,
    id: string,
    options?: { readonly ifRevision?: number; readonly reason?: string },
  ): Promise<void>;
  /** As MatchSubscriptions. @throws PushfleetError `request_invalid`, `unavailable` without the index */
  match(
    kind: SubscriptionKind,
    questions: readonly MatchQuestion[],
    pageSize: number,
  ): Promise<readonly MatchAnswer[]>;
  /**
   * Calls `on` for every change from now on. The end of a subscription is told whatever its kind.
   *
   * @param kinds empty: all
   * @throws PushfleetError `unavailable` while this instance does not follow the log
   */
  watch(
    kinds: readonly SubscriptionKind[],
    on: (changes: readonly SubscriptionChange[]) => void,
  ): { stop(): void };
}
