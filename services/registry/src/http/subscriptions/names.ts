import {
  NotifyForm,
  SigningScheme,
  SubscriptionState,
  WebhookFormat,
  WebhookHandshake,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

// The words of the HTTP API for the values of the proto.

export const formats = {
  binary: WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_BINARY,
  structured: WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_STRUCTURED,
  verbatim: WebhookFormat.WEBHOOK_FORMAT_VERBATIM,
};

export const handshakes = {
  echo: WebhookHandshake.WEBHOOK_HANDSHAKE_ECHO,
  cloudevents: WebhookHandshake.WEBHOOK_HANDSHAKE_CLOUDEVENTS,
  none: WebhookHandshake.WEBHOOK_HANDSHAKE_NONE,
  notify: WebhookHandshake.WEBHOOK_HANDSHAKE_NOTIFY,
};

export const notifyForms = {
  gena: NotifyForm.NOTIFY_FORM_GENA,
  webdav: NotifyForm.NOTIFY_FORM_WEBDAV,
};

export const schemes = {
  hmac: SigningScheme.SIGNING_SCHEME_HMAC_SHA256,
  ed25519: SigningScheme.SIGNING_SCHEME_ED25519,
};

export const states = {
  pending: SubscriptionState.SUBSCRIPTION_STATE_PENDING,
  active: SubscriptionState.SUBSCRIPTION_STATE_ACTIVE,
  paused: SubscriptionState.SUBSCRIPTION_STATE_PAUSED,
  suspended: SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED,
};

/** The word for a value. */
export function wordFor<Word extends string>(words: Readonly<Record<Word, number>>, value: number): Word {
  const [word] = (Object.entries(words) as [Word, number][]).find(([, known]) => known === value) ?? [];
  if (word === undefined) throw new TypeError(`There is no word for ${value}.`);
  return word;
}
