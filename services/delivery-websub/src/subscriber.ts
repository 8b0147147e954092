import type {
  Subscription,
  WebSubRequest,
  WebSubTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** The target of a record of this service's kind. */
export function webSubOf({ target }: Subscription): WebSubTarget {
  if (target?.$case !== 'websub') throw new TypeError(`no WebSub subscriber: ${target?.$case}`);
  return target.websub;
}

/** The record with another target. */
export const withWebSub = (held: Subscription, change: Partial<WebSubTarget>): Subscription => ({
  ...held,
  target: { $case: 'websub', websub: { ...webSubOf(held), ...change } },
});

/** What was asked for and is not confirmed, by its id. */
export const requestOf = (held: Subscription, id: string): WebSubRequest | undefined =>
  webSubOf(held).requests.find((request) => request.id === id);
