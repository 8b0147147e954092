import type { Attempt, DeadLetter, PublicationRef } from '@pushfleet/delivery';
import type {
  SigningSecret,
  Subscription,
  WebhookTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { showPublicKey } from './keys.ts';
import { formats, handshakes, notifyForms, schemes, states, wordFor } from './names.ts';

/** A subscription as its owner sees it: without secrets. */
export function toJson(subscription: Subscription): object {
  const { id, filter, selection, authority, description } = subscription;
  return {
    id,
    filter,
    types: selection?.types.length ? selection.types : undefined,
    expression: selection?.expression || undefined,
    ...targetOf(webhookOf(subscription)),
    description: description || undefined,
    owner: authority?.subject,
    state: wordFor(states, subscription.state),
    stateReason: subscription.stateReason || undefined,
    stateSince: subscription.stateSince,
    failingSince: subscription.failingSince,
    expiresAt: subscription.expiresAt,
    createdAt: subscription.createdAt,
    updatedAt: subscription.updatedAt,
  };
}

/** The target of a record that `kind` says is a webhook's. */
export function webhookOf({ target }: Subscription): WebhookTarget {
  if (target?.$case !== 'webhook') throw new TypeError('The subscription is no webhook.');
  return target.webhook;
}

function targetOf(webhook: WebhookTarget): object {
  return {
    url: webhook.url,
    format: wordFor(formats, webhook.format),
    headerNames: webhook.headers.map(({ name }) => name),
    rate: webhook.ratePerSecond || undefined,
    concurrency: webhook.concurrency || undefined,
    ordered: webhook.ordered,
    timeout: webhook.timeoutMs === 0 ? undefined : Math.ceil(webhook.timeoutMs / 1_000),
    handshake: wordFor(handshakes, webhook.handshake),
    notify: webhook.notify && wordFor(notifyForms, webhook.notify.form),
    keys: webhook.secrets.map(toKey),
  };
}

const toKey = ({ keyId, scheme, publicKey, createdAt, expiresAt }: SigningSecret): object => ({
  id: keyId,
  signing: wordFor(schemes, scheme),
  publicKey: publicKey.length === 0 ? undefined : showPublicKey(publicKey),
  createdAt,
  expiresAt,
});

const time = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString();

/** An attempt as its owner sees it. */
export const attemptJson = (attempt: Attempt): object => ({
  ...{ id: attempt.id, why: attempt.why, at: time(attempt.at), attempt: attempt.attempt },
  ...{ verdict: attempt.verdict, status: attempt.status, durationMs: attempt.durationMs },
  ...{ error: attempt.error, retryAfterMs: attempt.retryAfterMs, nextAt: time(attempt.nextAt) },
  publication: attempt.publication && publicationJson(attempt.publication),
  response: attempt.response,
});

/** A dead letter as its owner sees it. */
export const letterJson = ({ letter, id, at, reason, attempts, publication }: DeadLetter): object => ({
  ...{ letter, id, at: time(at), reason, attempts },
  publication: publicationJson(publication),
});

const publicationJson = ({ id, source, topic, type, cursor }: PublicationRef): object => ({
  ...{ id, source, topic, type, cursor },
});
