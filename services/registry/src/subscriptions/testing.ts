// What the tests of subscriptions share: drafts that are legal, and an index that reads the ledger itself.
import type { Ledger } from '@pushfleet/bus';
import type { Namespace } from '@pushfleet/core';
import {
  NotifyForm,
  SigningScheme,
  Subscription,
  SubscriptionState,
  WebhookFormat,
  WebhookHandshake,
  type WebhookTarget,
  WebSubMode,
  WebSubVersion,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { indexChangeOf } from './record.ts';
import type { IndexEntry, SubscriptionIndex } from './subscription-index.ts';

export const namespace = 'default' as Namespace;

export const webhook = (over: Partial<WebhookTarget> = {}): Subscription['target'] => ({
  $case: 'webhook',
  webhook: {
    url: 'https://receiver.example/hook',
    format: WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_BINARY,
    secrets: [
      {
        keyId: 'one',
        scheme: SigningScheme.SIGNING_SCHEME_HMAC_SHA256,
        secret: Buffer.from('a signing secret of 32 bytes ...'),
        publicKey: Buffer.alloc(0),
        createdAt: new Date('2026-01-01T00:00:00Z'),
        expiresAt: undefined,
      },
    ],
    headers: [{ name: 'Authorization', value: 'Bearer of a secret' }],
    ratePerSecond: 0,
    concurrency: 0,
    ordered: false,
    handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_NONE,
    timeoutMs: 0,
    notify: undefined,
    ...over,
  },
});

export const websub = (): Subscription['target'] => ({
  $case: 'websub',
  websub: {
    callback: 'https://subscriber.example/callback',
    topicUrl: 'https://hub.example/topic',
    secret: Buffer.from('hub.secret in clear'),
    signatureMethod: 'sha256',
    leaseSeconds: 864_000,
    requests: [
      {
        id: 'ask_1',
        mode: WebSubMode.WEB_SUB_MODE_SUBSCRIBE,
        secret: Buffer.from('the next hub.secret in clear'),
        signatureMethod: 'sha512',
        leaseSeconds: 100,
        version: WebSubVersion.WEB_SUB_VERSION_PUBSUBHUBBUB_0_3,
        verifyToken: Buffer.from('hub.verify_token in clear'),
        askedAt: new Date(1_000),
      },
    ],
    version: WebSubVersion.WEB_SUB_VERSION_W3C,
  },
});

export const webpush = (): Subscription['target'] => ({
  $case: 'webpush',
  webpush: {
    endpoint: 'https://push.example/send/capability',
    p256dh: Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 1)]),
    auth: Buffer.from('sixteen bytes ..'),
    vapidKeyId: 'vapid',
    ttlSeconds: 60,
    urgency: 'high',
    replaceByTopic: true,
  },
});

/** Of who is notified as GENA says, and was never given a secret. */
export const notified = (over: Partial<WebhookTarget> = {}): Subscription['target'] =>
  webhook({
    secrets: [],
    headers: [],
    ordered: true,
    handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_NOTIFY,
    notify: { callbacks: ['http://control.example/other'], form: NotifyForm.NOTIFY_FORM_GENA },
    ...over,
  });

/** A subscription that the registry takes as it is. */
export const draft = (over: Partial<Subscription> = {}): Subscription => ({
  ...Subscription.fromPartial({
    namespace,
    filter: 'orders/+',
    authority: { subject: 'alice', tokenId: 'token', subscribeGrants: ['orders/#'] },
    state: SubscriptionState.SUBSCRIPTION_STATE_ACTIVE,
    description: 'of the tests',
  }),
  target: webhook(),
  ...over,
});

/** Lists and counts by reading the ledger; matches nothing. Fails with what `failure` holds. */
export class LedgerIndex implements SubscriptionIndex {
  failure: Error | undefined;
  readonly #ledger: Pick<Ledger, 'read'>;

  constructor(ledger: Pick<Ledger, 'read'>) {
    this.#ledger = ledger;
  }

  readonly list: SubscriptionIndex['list'] = async ({ namespace, owner, after, limit }) => {
    const found = (await this.#entries()).filter(
      (entry) => entry.namespace === namespace && entry.id > after && entry.owner === (owner ?? entry.owner),
    );
    const ids = found.map(({ id }) => id).toSorted();
    const page = ids.slice(0, limit);
    return { ids: page, next: ids.length > limit ? page.at(-1) : undefined };
  };

  readonly match: SubscriptionIndex['match'] = async (_kind, questions) =>
    questions.map(() => ({ matches: [], nextPageToken: '' }));

  async count(namespace: Namespace): Promise<number> {
    return (await this.#entries()).filter((entry) => entry.namespace === namespace).length;
  }

  async #entries(): Promise<readonly IndexEntry[]> {
    if (this.failure !== undefined) throw this.failure;
    const { pages } = await this.#ledger.read();
    const entries: IndexEntry[] = [];
    for await (const page of pages) {
      for (const entry of page) {
        const change = indexChangeOf(entry);
        if (change?.kind === 'put') entries.push(change.entry);
      }
    }
    return entries;
  }
}
