import { randomBytes } from 'node:crypto';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import {
  type Attempt,
  type Consent,
  type DeliveryControl,
  isOverrun,
  type SubscriptionCalls,
  type SubscriptionRef,
  shortHash,
} from '@pushfleet/delivery';
import {
  Subscription,
  SubscriptionState,
  WebSubMode,
  WebSubRequest,
  WebSubVersion,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { requestOf, webSubOf, withWebSub } from '../subscriber.ts';
import type { HubRequest } from './form.ts';
import type { TopicUrls } from './topic-urls.ts';

export interface SubscribingOptions {
  readonly registry: Pick<SubscriptionCalls, 'read' | 'create' | 'change' | 'end'>;
  readonly control: Pick<DeliveryControl, 'ask' | 'call' | 'forget'>;
  readonly consent: Consent;
  readonly topicUrls: Pick<TopicUrls, 'find'>;
  /** @throws PushfleetError `target_refused` */
  readonly checkUrl: (url: string) => void;
  /** Why such a record has no right to deliveries; undefined where it has. @throws PushfleetError `unavailable` */
  readonly wrongWith: (subscription: Subscription) => string | undefined;
  readonly lease: { readonly usualMs: number; readonly leastMs: number; readonly mostMs: number };
  /** How deliveries are signed where the subscriber does not say. */
  readonly signature: string;
  /** Most subscriptions of the callbacks of one host. */
  readonly hostLimit: number;
  /** How long a record lasts of which nothing is confirmed, and a request that nothing was heard of, in milliseconds. */
  readonly pendingMs: number;
  /** How long a request that is verified at once is waited for, in milliseconds. */
  readonly syncMs: number;
  /** Most requests that are waited for at once. */
  readonly syncMost: number;
}

/** Requests of one subscriber that may wait for their verification. */
const mostRequests = 8;
/** How often a record is changed again that others change at the same moment. */
const mostTries = 8;
const urlBytes = 2_048;
/** With "websub:" before it, a subject has 256 bytes at most. */
const hostBytes = 249;

const { SUBSCRIPTION_STATE_PENDING: pending, SUBSCRIPTION_STATE_SUSPENDED: suspended } = SubscriptionState;

/** What a request to the hub makes of the registry's records, and who is asked about it. Every method throws PushfleetError. */
export class Subscribing {
  readonly #o: SubscribingOptions;
  #waiting = 0;

  constructor(options: SubscribingOptions) {
    this.#o = options;
  }

  /** Says of a request whether it is verified already; otherwise it will be. */
  async take(wanted: HubRequest): Promise<'verified' | 'accepted'> {
    const draft = this.#draft(wanted);
    if (this.#o.wrongWith(draft) !== undefined) throw notServed();
    if (wanted.verify === 'sync') return this.#takeNow(draft, wanted);
    await this.#store(draft);
    await this.#o.control.ask(refOf(draft), questionOf(draft));
    return 'accepted';
  }

  async #takeNow(draft: Subscription, wanted: HubRequest): Promise<'verified'> {
    if (this.#waiting >= this.#o.syncMost) throw busy();
    this.#waiting++;
    try {
      const [ref, question] = [refOf(draft), questionOf(draft)];
      await this.#store(draft);
      const attempt = await this.#o.control.call(ref, 'handshake', this.#o.syncMs, question);
      if (attempt?.verdict === 'delivered') return 'verified';
      const withdrawn = await this.#withdraw(ref, question);
      // News of an attempt can be lost; what it led to stands in the record.
      if (attempt === undefined && !withdrawn && (await this.#isDone(ref, wanted))) return 'verified';
      throw unverified(attempt);
    } finally {
      this.#waiting--;
    }
  }

  /** The record as it would be new: of what is asked for nothing is confirmed. */
  #draft(wanted: HubRequest): Subscription {
    const { callback, topicUrl } = wanted;
    const { namespace, topic } = this.#o.topicUrls.find(topicUrl);
    const host = this.#checkCallback(callback);
    const now = Date.now();
    const request = this.#request(wanted, now);
    return Subscription.fromPartial({
      ...{ namespace, id: `ws_${shortHash(`${topicUrl}\0${callback}`)}`, filter: topic, state: pending },
      // Strangers show no token: what can be revoked, and counted, is the host they are called at.
      authority: { subject: `websub:${host}`, subscribeGrants: [topic] },
      expiresAt: new Date(now + this.#o.pendingMs),
      target: {
        $case: 'websub',
        websub: {
          callback,
          topicUrl,
          version: request.version,
          requests: [request],
        },
      },
    });
  }

  #checkCallback(callback: string): string {
    if (Buffer.byteLength(callback) > urlBytes) {
      throw new PushfleetError('request_invalid', `hub.callback has ${urlBytes} bytes at most.`);
    }
    this.#o.checkUrl(callback);
    if (callback.includes('#')) {
      throw new PushfleetError('request_invalid', 'hub.callback has a fragment, which is never sent.');
    }
    const { hostname } = new URL(callback);
    if (hostname.length <= hostBytes) return hostname;
    throw new PushfleetError(
      'request_invalid',
      `The host of hub.callback has ${hostBytes} characters at most.`,
    );
  }

  #request(
    { mode, secret, method, verify, verifyToken, leaseSeconds }: HubRequest,
    now: number,
  ): WebSubRequest {
    const old = verify !== undefined;
    const usual = old ? 'sha1' : this.#o.signature;
    return WebSubRequest.fromPartial({
      id: `ask_${randomBytes(16).toString('base64url')}`,
      mode: mode === 'subscribe' ? WebSubMode.WEB_SUB_MODE_SUBSCRIBE : WebSubMode.WEB_SUB_MODE_UNSUBSCRIBE,
      secret,
      signatureMethod: secret.length === 0 ? '' : (method ?? usual),
      leaseSeconds: this.#leaseOf(leaseSeconds),
      version: old ? WebSubVersion.WEB_SUB_VERSION_PUBSUBHUBBUB_0_3 : WebSubVersion.WEB_SUB_VERSION_W3C,
      verifyToken,
      askedAt: new Date(now),
    });
  }

  #leaseOf(asked: number | undefined): number {
    const { usualMs, leastMs, mostMs } = this.#o.lease;
    const ms = asked === undefined ? usualMs : asked * 1_000;
    return Math.ceil(Math.min(Math.max(ms, leastMs), mostMs) / 1_000);
  }

  /** Writes the request of `draft` down: beside the record's others, or in a record of its own. */
  async #store(draft: Subscription): Promise<void> {
    const ref = refOf(draft);
    const { requests: added } = webSubOf(draft);
    for (let left = mostTries; ; left--) {
      const held = await this.#read(ref);
      try {
        if (held === undefined) {
          // One of this name may have ended by itself: what was queued for it is nothing for who subscribes now.
          await this.#o.control.forget(ref);
          await this.#o.registry.create(draft, this.#o.hostLimit);
        } else await this.#o.registry.change(...this.#amended(held, added));
        return;
      } catch (error) {
        if (!isOverrun(error) || left <= 1) throw error;
      }
    }
  }

  #amended(held: Subscription, added: readonly WebSubRequest[]): [Subscription, string[]] {
    // It is being ended, and its subscriber told so: what comes after that begins anew.
    if (held.state === suspended) throw ending();
    const since = Date.now() - this.#o.pendingMs;
    const open = webSubOf(held).requests.filter(({ askedAt }) => (askedAt?.getTime() ?? 0) > since);
    if (open.length >= mostRequests) throw busy();
    const wanted = withWebSub(held, { requests: [...open, ...added] });
    if (held.state !== pending) return [wanted, ['websub.requests']];
    const expiresAt = new Date(Date.now() + this.#o.pendingMs);
    return [{ ...wanted, expiresAt }, ['websub.requests', 'expires_at']];
  }

  async #isDone(ref: SubscriptionRef, { mode }: HubRequest): Promise<boolean> {
    const held = await this.#read(ref);
    return (held?.state === SubscriptionState.SUBSCRIPTION_STATE_ACTIVE) === (mode === 'subscribe');
  }

  /** Whoever waited for it has its answer: it is asked about no more. Says whether it was still open. */
  async #withdraw(ref: SubscriptionRef, question: string): Promise<boolean> {
    for (let left = mostTries; ; left--) {
      const held = await this.#read(ref);
      if (held === undefined || requestOf(held, question) === undefined) return false;
      const consequence = this.#o.consent.refused(held, question, Date.now());
      try {
        if (consequence === 'end') await this.#o.registry.end(ref, 'handshake_failed', held.revision);
        else await this.#o.registry.change(consequence.wanted, consequence.fields);
        return true;
      } catch (error) {
        if (!isOverrun(error) || left <= 1) throw error;
      }
    }
  }

  /** With its secrets. */
  async #read(ref: SubscriptionRef): Promise<Subscription | undefined> {
    const { found, sealed } = await this.#o.registry.read([ref]);
    if (sealed[0] !== undefined)
      throw new PushfleetError('unavailable', 'The subscription cannot be read now.');
    return found[0];
  }
}

const refOf = ({ namespace, id }: Subscription): SubscriptionRef => ({
  namespace: namespace as Namespace,
  id,
});

/** The one request of a draft. */
const questionOf = (draft: Subscription): string => (webSubOf(draft).requests[0] as WebSubRequest).id;

const notServed = (): PushfleetError =>
  new PushfleetError('forbidden', 'The host of hub.callback is not served here.');

const busy = (): PushfleetError =>
  new PushfleetError('rate_limited', 'Too many requests wait for their verification; try again later.', {
    retryAfterMs: 5_000,
  });

const ending = (): PushfleetError =>
  new PushfleetError(
    'unavailable',
    'The subscription is being denied at this moment; subscribe again later.',
    {
      retryAfterMs: 5_000,
    },
  );

function unverified(attempt: Attempt | undefined): PushfleetError {
  if (attempt === undefined) return new PushfleetError('timeout', 'The callback has not answered in time.');
  return new PushfleetError(
    'handshake_failed',
    `The callback did not confirm the request. ${attempt.error ?? ''}`.trimEnd(),
  );
}
