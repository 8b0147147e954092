import { randomBytes, randomUUID } from 'node:crypto';
import { PushfleetError, type Topic, type TopicFilter } from '@pushfleet/core';
import {
  authorityOf,
  type DeliveryControl,
  isOverrun,
  isOwner,
  type RegistryCalls,
  type SubscriptionRef,
} from '@pushfleet/delivery';
import {
  NotifyForm,
  Subscription,
  SubscriptionState,
  WebhookFormat,
  WebhookHandshake,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant, RateLimit } from '@pushfleet/runtime';
import { type Form, type Named, unknownSubscription, type Wish } from './headers.ts';

export interface SubscribingOptions {
  readonly registry: Pick<RegistryCalls, 'find' | 'create' | 'change' | 'end'>;
  /** Of webhooks. */
  readonly control: Pick<DeliveryControl, 'ask' | 'forget'>;
  /** @throws PushfleetError `target_refused` */
  readonly checkUrl: (url: string) => void;
  readonly lease: { readonly usualMs: number; readonly leastMs: number; readonly mostMs: number };
  /** Of each subject. */
  readonly rate: RateLimit;
}

/** A subscription as its subscriber is answered. */
export interface Granted {
  readonly id: string;
  readonly leaseMs: number;
}

/** How often a record is changed again that others change at the same moment. */
const mostTries = 8;

const forms = { gena: NotifyForm.NOTIFY_FORM_GENA, webdav: NotifyForm.NOTIFY_FORM_WEBDAV } as const;

/**
 * What SUBSCRIBE and UNSUBSCRIBE make of the registry's records: a receiver of notifications is a webhook, whose
 * call-back is asked before anything is delivered to it. Every method throws PushfleetError.
 */
export class Subscribing {
  readonly #o: SubscribingOptions;

  constructor(options: SubscribingOptions) {
    this.#o = options;
  }

  /**
   * Resolves once the record is stored and the question to its call-back is on record; the answer to that is not waited
   * for, since the receiver learns only by ours which subscription it is asked about.
   */
  async subscribe(grant: Grant, topic: Topic, wish: Wish, leaseMs: number | undefined): Promise<Granted> {
    const authority = this.#authority(grant, topic);
    for (const callback of wish.callbacks) this.#check(callback);
    const granted = { id: randomUUID(), leaseMs: this.#leaseOf(leaseMs) };
    const ref = { namespace: grant.namespace, id: granted.id };
    const [url, ...callbacks] = wish.callbacks;
    const draft = Subscription.fromPartial({
      ...{ ...ref, filter: topic, authority, state: SubscriptionState.SUBSCRIPTION_STATE_PENDING },
      expiresAt: endOf(granted),
      target: {
        $case: 'webhook',
        webhook: {
          ...{ url: url as string, format: WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_BINARY },
          // GENA numbers what it sends.
          ordered: wish.form === 'gena',
          handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_NOTIFY,
          notify: { form: forms[wish.form], callbacks },
        },
      },
    });
    await this.#o.registry.create(draft, 0).catch((error: unknown) => {
      // It may be stored all the same, and would take room until its lease ends.
      if (PushfleetError.from(error).code === 'unavailable') {
        void this.#o.registry.end(ref, 'unsubscribed').catch(() => {});
      }
      throw error;
    });
    try {
      await this.#o.control.ask(ref, `ask_${randomBytes(16).toString('base64url')}`);
    } catch (error) {
      // Nobody was told of it, and its lease ends it otherwise.
      await this.#o.registry.end(ref, 'unsubscribed').catch(() => {});
      throw error;
    }
    return granted;
  }

  /** From now on, and by the right of the token at hand where that is its owner's. */
  async renew(grant: Grant, topic: Topic, named: Named, leaseMs: number | undefined): Promise<Granted> {
    const authority = this.#authority(grant, topic);
    const granted = { id: named.id, leaseMs: this.#leaseOf(leaseMs) };
    for (let left = mostTries; ; left--) {
      const held = await this.#find(grant, topic, named);
      // Nothing comes to it any more until its owner resumes it; subscribing anew it begins again.
      if (held.state === SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED)
        throw unknownSubscription(named.form);
      const renewed = { ...held, expiresAt: endOf(granted), ...(isOwner(grant, held) && { authority }) };
      try {
        await this.#o.registry.change(renewed, ['expires_at', 'authority']);
        return granted;
      } catch (error) {
        if (!isOverrun(error)) throw error;
        if (left <= 1) throw contended(error);
      }
    }
  }

  async unsubscribe(grant: Grant, topic: Topic, named: Named): Promise<void> {
    const ref = { namespace: grant.namespace, id: named.id };
    await this.#find(grant, topic, named);
    await this.#o.registry.end(ref, 'unsubscribed').catch((error: unknown) => {
      throw isOverrun(error) ? contended(error) : error;
    });
    // It has ended whatever becomes of this: workers drop what is queued for it, and what is kept has an age.
    await this.#o.control.forget(ref).catch(() => {});
  }

  #authority(grant: Grant, topic: Topic): ReturnType<typeof authorityOf> {
    const authority = authorityOf(grant, filterOf(topic));
    this.#o.rate.require(JSON.stringify([grant.namespace, grant.subject]));
    return authority;
  }

  #check(callback: string): void {
    try {
      this.#o.checkUrl(callback);
    } catch (error) {
      if (!(error instanceof PushfleetError)) throw error;
      throw new PushfleetError('precondition_failed', error.message, { cause: error });
    }
  }

  #leaseOf(askedMs: number | undefined): number {
    const { usualMs, leastMs, mostMs } = this.#o.lease;
    return Math.min(Math.max(askedMs ?? usualMs, leastMs), mostMs);
  }

  /** The subscription, where it is one to this topic in this form that the caller may see. */
  async #find(grant: Grant, topic: Topic, { form, id }: Named): Promise<Subscription> {
    const ref: SubscriptionRef = { namespace: grant.namespace, id };
    const held = await this.#o.registry.find(ref);
    const visible = held !== undefined && (isOwner(grant, held) || grant.mayManage(filterOf(topic)));
    if (visible && held.filter === topic && formOf(held) === form) return held;
    throw unknownSubscription(form);
  }
}

/** Neither form has a status for it, and the request is good as it is. */
const contended = (cause: unknown): PushfleetError =>
  new PushfleetError('unavailable', 'Others change this subscription at the same moment; send it again.', {
    cause,
    retryAfterMs: 1_000,
  });

const endOf = ({ leaseMs }: Granted): Date => new Date(Date.now() + leaseMs);

/** A topic is the filter of that topic alone. */
const filterOf = (topic: Topic): TopicFilter => topic as string as TopicFilter;

function formOf({ target }: Subscription): Form | undefined {
  const form = target?.$case === 'webhook' ? target.webhook.notify?.form : undefined;
  if (form === forms.gena) return 'gena';
  return form === forms.webdav ? 'webdav' : undefined;
}
