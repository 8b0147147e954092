import type { Cursor } from '@pushfleet/core';
import { isExact } from '@pushfleet/core';
import { type Selection, SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { IndexChange, IndexEntry } from '../subscriptions/subscription-index.ts';

// Ids are letters, digits, "_" and "-": a blank behind one is smaller than all of them, "!" greater than the blank, so
// that "[<id> " to "(<id>!" is one subscription, and the order of members is the order of ids.

/** What a member of a filter's set says. */
export interface Member {
  readonly id: string;
  readonly ordered: boolean;
  /** The revision with which it came to want order; 0: it always did, or does not. */
  readonly since: number;
  /** Unix milliseconds; 0: never. */
  readonly expiresAt: number;
  readonly startCursor: Cursor;
  readonly selection: Selection | undefined;
}

const radix = 36;

/** Whether publications are kept for it or delivered to it. */
export const isMatched = ({ state }: IndexEntry): boolean =>
  state === SubscriptionState.SUBSCRIPTION_STATE_ACTIVE ||
  state === SubscriptionState.SUBSCRIPTION_STATE_PAUSED;

/** What stands behind region, id and `since`: `<end, base 36> <start cursor> <selection>`. */
function tailOf({ expiresAt = 0, startCursor, selection }: IndexEntry): string {
  const wanted = selection === undefined ? '' : JSON.stringify([selection.types, selection.expression]);
  return `${Math.ceil(expiresAt).toString(radix)} ${startCursor} ${wanted}`;
}

/**
 * Reads `<region><id> <since> <end, base 36> <start cursor> <selection>`. Region `0` is for those that want order, `1` for
 * those that do not: they come behind all of the others. One that has a `since` wants order wherever it stands.
 */
export function parseMember(text: string): Member {
  const first = text.indexOf(' ');
  const second = text.indexOf(' ', first + 1);
  const third = text.indexOf(' ', second + 1);
  const fourth = text.indexOf(' ', third + 1);
  const since = Number(text.slice(first + 1, second));
  const end = text.slice(second + 1, third);
  return {
    id: text.slice(1, first),
    ordered: text.startsWith('0') || since > 0,
    since,
    expiresAt: end === '0' ? 0 : Number.parseInt(end, radix),
    startCursor: text.slice(third + 1, fourth) as Cursor,
    selection: fourth + 1 === text.length ? undefined : parseSelection(text.slice(fourth + 1)),
  };
}

function parseSelection(text: string): Selection {
  const [types, expression] = JSON.parse(text) as [string[], string];
  return { types, expression };
}

/**
 * `revision, id, record, tail`: without a record the subscription is taken out. The record, `<id>
 * <kind><state><region><wild> <owner's length in bytes> <owner><filter>`, says what it is entered under, so that it can
 * be found there when it changes; region `-` is not matched.
 */
export function changeArguments(change: IndexChange): (string | number)[] {
  if (change.kind === 'remove') return [change.revision, change.id, '', ''];
  const { entry } = change;
  const { revision, id, kind, state, owner, filter } = entry;
  const region = !isMatched(entry) ? '-' : entry.ordered ? '0' : '1';
  const flags = `${kind}${state}${region}${isExact(filter) ? '-' : 'w'}`;
  const record = `${id} ${flags} ${Buffer.byteLength(owner)} ${owner}${filter}`;
  return [revision, id, record, region === '-' ? '' : tailOf(entry)];
}
