import type { LedgerEntry } from '@pushfleet/bus';
import { type Cursor, type Namespace, parseNamespace, type TopicFilter } from '@pushfleet/core';
import { Subscription, SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { isId } from './check.ts';
import type { IndexChange } from './subscription-index.ts';

/** What names a subscription in the log. */
export const recordKey = (namespace: string, id: string): string => `${namespace}/${id}`;

/** The name in a key of the log; undefined where it names no subscription. */
export function parseRecordKey(
  key: string,
): { readonly namespace: Namespace; readonly id: string } | undefined {
  const [namespace = '', id = '', ...rest] = key.split('/');
  if (rest.length > 0 || !isId(namespace) || !isId(id)) return undefined;
  return { namespace: parseNamespace(namespace), id };
}

/** A record as the log holds it: its secrets are sealed, its revision is the entry's. */
export function decodeRecord(value: Uint8Array, revision: number): Subscription {
  return { ...Subscription.decode(value), revision: BigInt(revision) };
}

const kinds = {
  webhook: SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK,
  websub: SubscriptionKind.SUBSCRIPTION_KIND_WEBSUB,
  webpush: SubscriptionKind.SUBSCRIPTION_KIND_WEBPUSH,
  notify: SubscriptionKind.SUBSCRIPTION_KIND_NOTIFY,
} as const;

/** The kind of receiver that a record is for. */
export const kindOf = ({ target }: Subscription): SubscriptionKind =>
  target === undefined ? SubscriptionKind.SUBSCRIPTION_KIND_UNSPECIFIED : kinds[target.$case];

/** Whether its lease has ended, at a Unix time in milliseconds; the log removes it within a second or so. */
export const hasEnded = ({ expiresAt }: Subscription, now: number): boolean =>
  expiresAt !== undefined && expiresAt.getTime() <= now;

/** The record of a ledger's entry; undefined where it has ended, or cannot be read as one. */
export function readRecord({ key, value, revision }: LedgerEntry): Subscription | undefined {
  if (value === undefined || parseRecordKey(key) === undefined) return undefined;
  try {
    return decodeRecord(value, revision);
  } catch {
    return undefined;
  }
}

/** What an entry of the ledger means to the index; undefined where it is no record of a subscription. */
export function indexChangeOf(entry: LedgerEntry): IndexChange | undefined {
  const { key, value, revision } = entry;
  const name = parseRecordKey(key);
  if (name === undefined) return undefined;
  if (value === undefined) return { kind: 'remove', ...name, revision };
  const record = readRecord(entry);
  if (record === undefined) return undefined;
  return {
    kind: 'put',
    entry: {
      ...name,
      revision,
      kind: kindOf(record),
      state: record.state,
      filter: record.filter as TopicFilter,
      owner: record.authority?.subject ?? '',
      ordered: record.target?.$case === 'webhook' && record.target.webhook.ordered,
      selection: record.selection,
      startCursor: record.startCursor as Cursor,
      expiresAt: record.expiresAt?.getTime(),
    },
  };
}
