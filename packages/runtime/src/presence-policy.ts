import { type Namespace, PushfleetError, quote, type Topic } from '@pushfleet/core';
import type { Policies } from './policies.ts';

/**
 * Refuses where a policy turns presence off for a topic.
 *
 * @throws PushfleetError `forbidden`
 */
export function requirePresencePolicy(
  policies: Pick<Policies, 'of'>,
  namespace: Namespace,
  topic: Topic,
): void {
  const { presence, filter = '' } = policies.of(namespace, topic);
  if (presence) return;
  throw new PushfleetError(
    'forbidden',
    `Nobody is present on ${quote(topic)}: the operator's policy for ${quote(filter)} turns presence off. No token changes that.`,
    { detail: { action: 'presence', filter: topic, policy: filter } },
  );
}
