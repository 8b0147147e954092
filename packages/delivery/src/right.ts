import type { Namespace } from '@pushfleet/core';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { RevocationList } from '@pushfleet/runtime';

export interface RightOptions {
  readonly revocations: RevocationList;
  /** Why a subscription must not be delivered to any more; undefined where it may. */
  readonly objection: ((subscription: Subscription) => string | undefined) | undefined;
}

/**
 * Why a subscription has no right to deliveries any more; undefined where it has.
 *
 * @throws PushfleetError `unavailable` while it is not known what was revoked
 */
export function wrongWith(
  subscription: Subscription,
  { revocations, objection }: RightOptions,
): string | undefined {
  const { subject = '', tokenId, issuedAt } = subscription.authority ?? {};
  const revoked = revocations.revoked({
    ...{ subject, namespace: subscription.namespace as Namespace, expiresAt: 0, tokenDigest: '' },
    ...(tokenId !== undefined && tokenId !== '' && { tokenId }),
    ...(issuedAt !== undefined && { issuedAt: issuedAt.getTime() }),
  });
  return revoked ? 'The right of whoever created it was revoked.' : objection?.(subscription);
}
