import { PushfleetError, parseTopicFilter, type TopicFilter } from '@pushfleet/core';
import { isOwner } from '@pushfleet/delivery';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant } from '@pushfleet/runtime';

/** Its owner and whoever manages its filter may see and stop it; to others it is not there. */
export function requireVisible(grant: Grant, subscription: Subscription): void {
  if (isOwner(grant, subscription) || grant.mayManage(filterOf(subscription))) return;
  throw noSubscription();
}

/**
 * What makes deliveries happen, or changes where they go, takes more than being its owner: the token at hand has to
 * grant the subscription too, or the management of its filter.
 *
 * @throws PushfleetError `forbidden`
 */
export function requireDelivery(grant: Grant, subscription: Subscription): void {
  const filter = filterOf(subscription);
  if (!grant.mayManage(filter)) grant.require('subscribe', filter);
}

const filterOf = ({ filter }: Subscription): TopicFilter => parseTopicFilter(filter);

export const noSubscription = (): PushfleetError =>
  new PushfleetError('not_found', 'There is no such subscription, or it belongs to somebody else.');
