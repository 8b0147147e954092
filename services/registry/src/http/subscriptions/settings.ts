import { PushfleetError, parseTopicFilter } from '@pushfleet/core';
import { authorityOf, isOwner } from '@pushfleet/delivery';
import {
  type Header,
  NotifyForm,
  type Subscription,
  type WebhookTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant } from '@pushfleet/runtime';
import { bodyCheck } from '../check-body.ts';
import { change } from '../schema/subscription.ts';
import { endOf, type Settings, selectionOf } from './draft.ts';
import { webhookOf } from './json.ts';
import { formats } from './names.ts';

/** A record as it should become, and the fields in which it differs. */
export interface Amendment {
  readonly wanted: Subscription;
  readonly paths: readonly string[];
}

/** @throws PushfleetError `request_invalid` */
export const readSettings = bodyCheck<Settings>(change);

/**
 * What a merge patch (RFC 7396) makes of a subscription: null removes, what is absent stays. The owner's token at
 * hand becomes the one by which it is delivered.
 *
 * @throws PushfleetError `forbidden`, `filter_invalid`
 */
export function amend(held: Subscription, settings: Settings, grant: Grant, now: number): Amendment {
  if (!isOwner(grant, held) && settings.filter !== undefined) {
    throw new PushfleetError('forbidden', 'Only the owner of a subscription can change its filter.');
  }
  if (!isOwner(grant, held) && settings.url !== undefined && settings.headers !== null) requireBare(held);
  const { notify } = webhookOf(held);
  if (notify !== undefined) requireNotified(notify.form, settings);
  const ofRecord = recordChanges(held, settings, grant, now);
  const ofTarget = targetChanges(webhookOf(held), settings);
  const webhook = Object.assign({}, webhookOf(held), ...Object.values(ofTarget));
  return {
    wanted: Object.assign({}, held, ...Object.values(ofRecord), { target: { $case: 'webhook', webhook } }),
    paths: [...Object.keys(ofRecord), ...Object.keys(ofTarget).map((name) => `webhook.${name}`)],
  };
}

/** Values of headers are credentials as a rule, for the receiver at hand, and nobody else is shown them. */
function requireBare(held: Subscription): void {
  if (webhookOf(held).headers.length === 0) return;
  throw new PushfleetError(
    'forbidden',
    'Its headers are for the receiver that its owner chose; give "headers": null to change the address.',
  );
}

/**
 * Who is notified has subscribed to one topic by its address, confirmed its call-back by an identifier that only
 * SUBSCRIBE was answered with, may count its notifications, and has a lease.
 */
function requireNotified(form: NotifyForm, { url, filter, ordered, expiresAt }: Settings): void {
  const numbered = form === NotifyForm.NOTIFY_FORM_GENA && ordered === false ? ordered : undefined;
  const fixed = Object.entries({ url, filter, ordered: numbered }).find(
    ([, value]) => value !== undefined,
  )?.[0];
  if (fixed !== undefined) {
    throw new PushfleetError(
      'request_invalid',
      `"${fixed}" of a receiver of notifications does not change: send SUBSCRIBE anew, and UNSUBSCRIBE for this one.`,
    );
  }
  if (expiresAt === null) {
    throw new PushfleetError('request_invalid', 'A receiver of notifications has a lease: give its end.');
  }
}

/** What changes, by its path in an update mask. */
type Changes<T> = Readonly<Record<string, Partial<T>>>;

function recordChanges(held: Subscription, s: Settings, grant: Grant, now: number): Changes<Subscription> {
  const { filter = held.filter } = s;
  const { types = held.selection?.types, expression = held.selection?.expression } = s;
  return {
    filter: { filter },
    selection: { selection: selectionOf(types, expression) },
    ...(isOwner(grant, held) && { authority: { authority: authorityOf(grant, parseTopicFilter(filter)) } }),
    ...(s.description !== undefined && { description: { description: s.description ?? '' } }),
    ...(ends(s) && { expires_at: { expiresAt: endOf(s, now) } }),
  };
}

const ends = ({ expiresAt, lease }: Settings): boolean => expiresAt !== undefined || lease !== undefined;

function targetChanges(held: WebhookTarget, s: Settings): Changes<WebhookTarget> {
  return {
    ...(s.url !== undefined && { url: { url: s.url } }),
    ...(s.format !== undefined && { format: { format: formats[s.format] } }),
    ...(s.headers !== undefined && { headers: { headers: mergeHeaders(held.headers, s.headers) } }),
    ...(s.rate !== undefined && { rate_per_second: { ratePerSecond: s.rate ?? 0 } }),
    ...(s.concurrency !== undefined && { concurrency: { concurrency: s.concurrency ?? 0 } }),
    ...(s.ordered !== undefined && { ordered: { ordered: s.ordered } }),
    ...(s.timeout !== undefined && { timeout_ms: { timeoutMs: (s.timeout ?? 0) * 1_000 } }),
  };
}

/** Names are compared as HTTP does, in any case. A value that is held is read as empty, and stays when written so. */
function mergeHeaders(held: readonly Header[], changes: Settings['headers']): Header[] {
  if (changes === null || changes === undefined) return [];
  const merged = new Map(held.map((header) => [header.name.toLowerCase(), header]));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) merged.delete(name.toLowerCase());
    else merged.set(name.toLowerCase(), { name, value });
  }
  return [...merged.values()];
}
