import { type Cursor, parseTopicFilter } from '@pushfleet/core';
import { authorityOf, isOwner } from '@pushfleet/delivery';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant } from '@pushfleet/runtime';
import { webhookOf } from './json.ts';
import { states } from './names.ts';
import type { Amendment } from './settings.ts';

/** The same, of a subscription whose receiver has confirmed meanwhile. */
export const activated = ({ wanted, paths }: Amendment): Amendment => ({
  wanted: { ...wanted, state: states.active, stateReason: '' },
  paths: [...paths, 'state', 'state_reason'],
});

/** A record in another state. */
export const toState = (held: Subscription, state: (typeof states)[keyof typeof states]): Amendment => ({
  wanted: { ...held, state, stateReason: '' },
  paths: ['state', 'state_reason'],
});

/**
 * A record that is delivered to again, by the right of the token at hand where that is its owner's.
 *
 * @param head of the log
 * @throws PushfleetError `forbidden`
 */
export function resumed(held: Subscription, grant: Grant, head: Cursor): Amendment {
  const { wanted, paths } = toState(held, states.active);
  const authority = isOwner(grant, held) ? authorityOf(grant, parseTopicFilter(held.filter)) : held.authority;
  const failingSince = undefined;
  const back = {
    wanted: { ...wanted, authority, failingSince },
    paths: [...paths, 'authority', 'failing_since'],
  };
  if (held.state !== states.suspended) return back;
  // What was published meanwhile was not queued: it comes by a replay, or not at all.
  return { wanted: { ...back.wanted, startCursor: head }, paths: [...back.paths, 'start_cursor'] };
}

/** A record with some fields of its target. */
export const withTarget = (held: Subscription, fields: object, path: string): Amendment => ({
  wanted: { ...held, target: { $case: 'webhook', webhook: { ...webhookOf(held), ...fields } } },
  paths: [path],
});
