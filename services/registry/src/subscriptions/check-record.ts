import { parseCursor, parseTopicFilter } from '@pushfleet/core';
import { compileSelection } from '@pushfleet/delivery';
import {
  type Authority,
  Subscription,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { checkCount, checkEnum, checkText, invalid } from './check.ts';
import { checkTarget } from './check-target.ts';
import { recordLimits as limits } from './limits.ts';

/**
 * Checks every field of a record that somebody wrote; a secret may be empty, and so may the start cursor.
 *
 * @throws PushfleetError `request_invalid`, `filter_invalid`, `cursor_invalid`
 */
export function checkRecord(record: Subscription): void {
  parseTopicFilter(record.filter);
  if (record.selection !== undefined) compileSelection(record.selection);
  checkAuthority(record.authority);
  checkEnum('state', record.state, SubscriptionState);
  checkText('state_reason', record.stateReason, 0, limits.reasonBytes);
  checkText('description', record.description, 0, limits.descriptionBytes);
  if (record.startCursor !== '') parseCursor(record.startCursor);
  checkTarget(record.target);
}

/** @throws PushfleetError `request_invalid` for an end that is past or too far ahead */
export function checkEnd(record: Subscription, now: number): void {
  const { expiresAt } = record;
  if (expiresAt === undefined) return;
  const ms = expiresAt.getTime() - now;
  if (!(ms > 0 && ms <= limits.leaseMs)) {
    throw invalid('"expires_at" lies ahead, by at most ten years; a subscription is ended by deleting it.');
  }
}

/** @throws PushfleetError `request_invalid` for a record that is too large as it is stored */
export function checkSize(sealed: Subscription): Uint8Array {
  const bytes = Subscription.encode(sealed).finish();
  if (bytes.length <= limits.recordBytes) return bytes;
  throw invalid(
    `A subscription is stored in at most ${limits.recordBytes} bytes; this one takes ${bytes.length}. Shorten its grants, its selection or its headers.`,
    limits.recordBytes,
  );
}

function checkAuthority(authority: Authority | undefined): void {
  if (authority === undefined) throw invalid('A subscription has an "authority": who created it.');
  checkText('authority.subject', authority.subject, 1, limits.subjectBytes);
  checkText('authority.token_id', authority.tokenId, 0, limits.subjectBytes);
  checkCount('authority.subscribe_grants', authority.subscribeGrants.length, 1, limits.grants);
  for (const grant of authority.subscribeGrants) parseTopicFilter(grant);
}
