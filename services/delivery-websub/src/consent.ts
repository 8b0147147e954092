import type { Consent, Consequence } from '@pushfleet/delivery';
import {
  type Subscription,
  SubscriptionState,
  WebSubMode,
  type WebSubRequest,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { requestOf, webSubOf, withWebSub } from './subscriber.ts';

const pending = SubscriptionState.SUBSCRIPTION_STATE_PENDING;
const active = SubscriptionState.SUBSCRIPTION_STATE_ACTIVE;

/**
 * What a subscriber's word on one of its requests means (WebSub, section 5): confirmed, the request overrides what was
 * before, and with it the requests before it; otherwise nothing changes but that it is open no more.
 *
 * @param pendingMs how long a record lasts of which nothing is confirmed, in milliseconds
 */
export function createConsent(pendingMs: number): Consent {
  return {
    // What is being denied is not confirmed any more.
    isOpen: (held, id) =>
      held.state !== SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED && requestOf(held, id) !== undefined,
    agreed(held, id, now) {
      const { requests } = webSubOf(held);
      const place = requests.findIndex((request) => request.id === id);
      const request = requests[place] as WebSubRequest;
      const later = requests.slice(place + 1);
      if (request.mode === WebSubMode.WEB_SUB_MODE_SUBSCRIBE) return subscribed(held, request, later, now);
      return unsubscribed(held, later, now + pendingMs);
    },
    refused(held, id) {
      const requests = webSubOf(held).requests.filter((request) => request.id !== id);
      if (requests.length === 0 && held.state === pending) return 'end';
      return { wanted: withWebSub(held, { requests }), fields: ['websub.requests'] };
    },
  };
}

function subscribed(
  held: Subscription,
  { secret, signatureMethod, leaseSeconds, version }: WebSubRequest,
  requests: WebSubRequest[],
  now: number,
): Consequence {
  const target = withWebSub(held, { secret, signatureMethod, leaseSeconds, version, requests });
  const expiresAt = new Date(now + leaseSeconds * 1_000);
  return {
    wanted: { ...target, state: active, stateReason: '', expiresAt },
    fields: ['state', 'state_reason', 'expires_at', 'websub'],
  };
}

/** What was asked for since goes on. */
function unsubscribed(held: Subscription, requests: WebSubRequest[], end: number): Consequence {
  if (requests.length === 0) return 'end';
  return {
    wanted: { ...withWebSub(held, { requests }), state: pending, stateReason: '', expiresAt: new Date(end) },
    fields: ['state', 'state_reason', 'expires_at', 'websub.requests'],
  };
}
