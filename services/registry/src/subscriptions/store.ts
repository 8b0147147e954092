import { randomBytes } from 'node:crypto';
import type { Ledger } from '@pushfleet/bus';
import { type Backbone, type Namespace, PushfleetError, type TopicFilter } from '@pushfleet/core';
import type {
  MatchAnswer,
  MatchQuestion,
  SealedSubscription,
  Subscription,
  SubscriptionChange,
  SubscriptionKind,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log, Part } from '@pushfleet/runtime';
import { Changes } from './changes.ts';
import { checkAtMost, checkCount, checkId, checkText, invalid, isId } from './check.ts';
import { checkQuestions } from './check-questions.ts';
import { checkEnd, checkRecord } from './check-record.ts';
import { requireSecrets } from './check-target.ts';
import { recordLimits } from './limits.ts';
import { applyMask } from './mask.ts';
import { kindOf } from './record.ts';
import { changed, notFound, RecordLedger } from './record-ledger.ts';
import { Resealer } from './resealer.ts';
import { Room } from './room.ts';
import type { Sealing } from './sealing.ts';
import { keepSecrets, withoutSecrets } from './secret-fields.ts';
import type { SubscriptionIndex } from './subscription-index.ts';
import { Tally } from './tally.ts';

export interface SubscriptionsOptions {
  /** The ledger `subscriptions`. */
  readonly ledger: Ledger;
  readonly index: SubscriptionIndex;
  readonly sealing: Sealing;
  /** For the log's head, where a subscription begins. */
  readonly backbone: Pick<Backbone, 'bus'>;
  /** Most subscriptions of a namespace. */
  readonly limit: (namespace: Namespace) => number;
  readonly log: Log;
  readonly now?: () => number;
}

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
  /** In the order of their ids, without secrets. A page may hold fewer than asked for, even none, before the last. */
  readonly subscriptions: readonly Subscription[];
  /** For the next page; undefined: this was the last. */
  readonly next: string | undefined;
}

/** Many records, read at once. */
export interface Many {
  readonly subscriptions: Subscription[];
  readonly sealed: SealedSubscription[];
}

export interface CreateOptions {
  /** Most of this kind that the owner may have; 0: as many as the namespace. */
  readonly ownerLimit?: number;
}

export interface ReadOptions {
  readonly withSecrets?: boolean;
}

/** Strangers, whose number somebody has to bound, leave at least so much of a namespace's room to those with a token. */
const strangersShare = 0.5;

/** The subscriptions of the fleet: the log is the truth, and the index in Redis follows it by itself. */
export class Subscriptions implements Part {
  readonly name = 'subscriptions';
  readonly tally = new Tally();
  readonly changes: Changes;
  readonly resealer: Resealer;
  readonly #options: SubscriptionsOptions;
  readonly #records: RecordLedger;
  readonly #room: Room;
  readonly #now: () => number;

  constructor(options: SubscriptionsOptions) {
    const { ledger, index, sealing, limit, log, now = Date.now } = options;
    this.#options = options;
    this.#now = now;
    this.#records = new RecordLedger(ledger, now);
    this.#room = new Room({ count: (namespace) => index.count(namespace), limit });
    this.changes = new Changes(ledger, log);
    this.resealer = new Resealer({ ledger, records: this.#records, sealing, log });
  }

  /** Begins to follow the log, and does not wait for it. */
  async start(): Promise<void> {
    void this.changes.start();
    this.resealer.start();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    this.changes.close();
    this.resealer.close();
  }

  ready(): string | undefined {
    return this.changes.following ? undefined : 'the changes of subscriptions are not followed yet';
  }

  /**
   * Stores a subscription; `id` is chosen where it is empty, `startCursor` is the log's head where it is empty.
   * Settles once whichever instance matches it. Where it fails with `unavailable` it may have been stored all the
   * same: repeated with the same id it answers `conflict` then.
   *
   * @returns the record without secrets
   * @throws PushfleetError `request_invalid`, `filter_invalid`, `cursor_invalid`, `conflict`, `quota_subscriptions`,
   * `unavailable`
   */
  async create(draft: Subscription, { ownerLimit = 0 }: CreateOptions = {}): Promise<Subscription> {
    const now = new Date(this.#now());
    const id = draft.id === '' ? `sub_${randomBytes(16).toString('base64url')}` : draft.id;
    const times = { stateSince: now, createdAt: now, updatedAt: now };
    const record: Subscription = { ...draft, id, ...times, revision: 0n };
    checkName(record.namespace, id);
    checkRecord(record);
    checkEnd(record, this.#now());
    requireSecrets(record);
    const sealed = await this.#begin(this.#options.sealing.seal(record));
    await this.#requireRoomOfOwner(sealed, ownerLimit);
    const leave = await this.#room.take(sealed.namespace as Namespace, ownerLimit > 0 ? strangersShare : 1);
    try {
      const stored = await this.#records.create(sealed);
      this.tally.changed(kindOf(stored), 'created');
      this.tally.entered(kindOf(stored), stored.state);
      return withoutSecrets(stored);
    } finally {
      leave();
    }
  }

  /** @throws PushfleetError `not_found`, `unavailable` without the log */
  async get(namespace: Namespace, id: string, options: ReadOptions = {}): Promise<Subscription> {
    checkName(namespace, id);
    const record = await this.#records.get(namespace, id);
    if (record === undefined) throw notFound(id);
    return this.#shown(record, options);
  }

  /**
   * Those that exist, in no particular order; at most 1,000. One whose secrets cannot be opened is told apart.
   *
   * @throws PushfleetError `unavailable` without the log
   */
  async getMany(namespace: Namespace, ids: readonly string[], options: ReadOptions = {}): Promise<Many> {
    checkCount('ids', ids.length, 0, recordLimits.batch);
    for (const id of ids) checkName(namespace, id);
    const records = await this.#records.getMany(namespace, ids);
    const subscriptions: Subscription[] = [];
    const sealed: SealedSubscription[] = [];
    for (const record of records) {
      try {
        subscriptions.push(this.#shown(record, options));
      } catch (error) {
        if (!(error instanceof PushfleetError)) throw error;
        sealed.push({ id: record.id, reason: error.message });
      }
    }
    return { subscriptions, sealed };
  }

  /** @throws PushfleetError `request_invalid`, `unavailable` without the log or the index */
  async list(query: ListQuery): Promise<ListPage> {
    const { namespace, owner, kind, filter, state, pageToken = '', pageSize } = query;
    checkCount('page_size', pageSize, 1, recordLimits.batch);
    const { ids, next } = await this.#options.index.list({
      namespace,
      owner,
      kind,
      filter: filter as TopicFilter | undefined,
      state,
      after: readToken(pageToken),
      limit: pageSize,
    });
    const { subscriptions } = await this.getMany(namespace, ids);
    return {
      subscriptions: subscriptions.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      next: next === undefined ? undefined : writeToken(next),
    };
  }

  /**
   * Changes the fields that `paths` name, such as `state` or `webhook.url`, where the record is at `wanted.revision`.
   * A secret that is left empty stays what it was, so that what was read without secrets can be written back; an empty
   * `start_cursor` is the log's head.
   *
   * @returns the record after the change, without secrets
   * @throws PushfleetError `not_found`, `conflict`, `request_invalid`, `filter_invalid`, `cursor_invalid`, `unavailable`
   */
  async update(wanted: Subscription, paths: readonly string[]): Promise<Subscription> {
    const { namespace, id, revision } = wanted;
    checkName(namespace, id);
    if (revision <= 0n) throw invalid('"revision" is that of the record as it was read.');
    const held = await this.#records.get(namespace as Namespace, id);
    if (held === undefined) throw notFound(id);
    if (held.revision !== revision) throw changed(held, revision);
    const next = applyMask(withoutSecrets(held), wanted, paths);
    checkRecord(next);
    if (paths.includes('expires_at')) checkEnd(next, this.#now());
    const now = new Date(this.#now());
    const moved = next.state !== held.state;
    const sealed = keepSecrets(this.#options.sealing.seal(next), held);
    requireSecrets(sealed);
    const stored = await this.#records.replace({
      ...(await this.#begin(sealed)),
      stateSince: moved ? now : held.stateSince,
      updatedAt: now,
    });
    this.tally.changed(kindOf(stored), 'updated');
    if (moved) this.tally.entered(kindOf(stored), stored.state);
    return withoutSecrets(stored);
  }

  /**
   * Ends a subscription; none there is no error.
   *
   * @throws PushfleetError `conflict` where it is not at `ifRevision`, `unavailable`
   */
  async delete(
    namespace: Namespace,
    id: string,
    options: { readonly ifRevision?: number; readonly reason?: string } = {},
  ): Promise<void> {
    const { ifRevision, reason = '' } = options;
    checkName(namespace, id);
    checkText('reason', reason, 0, recordLimits.reasonBytes);
    const ended = await this.#records.delete(namespace, id, ifRevision);
    if (ended === undefined) return;
    this.tally.changed(kindOf(ended), 'deleted');
    this.#options.log.debug({ namespace, id, reason }, 'a subscription ended');
  }

  /** As MatchSubscriptions. @throws PushfleetError `request_invalid`, `unavailable` without the log or the index */
  async match(
    kind: SubscriptionKind,
    questions: readonly MatchQuestion[],
    pageSize: number,
  ): Promise<readonly MatchAnswer[]> {
    checkQuestions(kind, questions);
    checkAtMost('page_size', pageSize, recordLimits.matches);
    return questions.length === 0 ? [] : this.#options.index.match(kind, questions, pageSize);
  }

  /**
   * Calls `on` for every change from now on. The end of a subscription is told whatever its kind.
   *
   * @param kinds empty: all
   * @throws PushfleetError `unavailable` while this instance does not follow the log
   */
  watch(kinds: readonly SubscriptionKind[], on: (change: SubscriptionChange) => void): { stop(): void } {
    return this.changes.watch(kinds, on);
  }

  async #requireRoomOfOwner(record: Subscription, limit: number): Promise<void> {
    if (limit === 0) return;
    const { ids } = await this.#options.index.list({
      namespace: record.namespace as Namespace,
      owner: record.authority?.subject,
      kind: kindOf(record),
      ...{ filter: undefined, state: undefined, after: '', limit },
    });
    if (ids.length >= limit) throw fullOfOwner(limit);
  }

  /** Where no start is named it is the log's head. */
  async #begin(record: Subscription): Promise<Subscription> {
    if (record.startCursor !== '') return record;
    const startCursor = await this.#options.backbone.bus(record.namespace as Namespace).head();
    return { ...record, startCursor };
  }

  #shown(record: Subscription, { withSecrets = false }: ReadOptions): Subscription {
    return withSecrets ? this.#options.sealing.open(record) : withoutSecrets(record);
  }
}

const fullOfOwner = (limit: number): PushfleetError =>
  new PushfleetError(
    'quota_subscriptions',
    `Its owner has ${limit} subscriptions of this kind, which is the most it may have; end some.`,
    { detail: { limit } },
  );

function checkName(namespace: string, id: string): void {
  checkId('namespace', namespace);
  checkId('id', id);
}

const writeToken = (after: string): string => Buffer.from(after).toString('base64url');

/** @throws PushfleetError `request_invalid` for a token that no page gave */
function readToken(token: string): string {
  const after = Buffer.from(token, 'base64url').toString();
  if (token === '' || (isId(after) && writeToken(after) === token)) return after;
  throw invalid('"page_token" is what the page before gave; leave it out to begin.');
}
