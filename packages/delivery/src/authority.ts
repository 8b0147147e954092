import type { TopicFilter } from '@pushfleet/core';
import { Authority, type Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant } from '@pushfleet/runtime';

/**
 * The right to a subscription that is delivered to by this token.
 *
 * @throws PushfleetError `forbidden` where no grant covers the filter
 */
export function authorityOf(grant: Grant, filter: TopicFilter): Authority {
  grant.require('subscribe', filter);
  return Authority.fromPartial({
    subject: grant.subject,
    tokenId: grant.tokenId ?? '',
    ...(grant.issuedAt !== undefined && { issuedAt: new Date(grant.issuedAt) }),
    subscribeGrants: [...grant.subscribeGrants(filter)],
  });
}

export const isOwner = (grant: Grant, { authority }: Subscription): boolean =>
  authority?.subject === grant.subject;
