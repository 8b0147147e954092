import { PushfleetError, parseTopicFilter, type TopicFilter } from '@pushfleet/core';
import type { Feed } from '@pushfleet/hub';
import type { Grant, Quotas } from '@pushfleet/runtime';
import { subscribeReason } from './close-code.ts';
import {
  type Qos,
  type Reason,
  reasons,
  type Subscribe,
  type Subscription,
  type Unsubscribe,
} from './codec.ts';
import type { Held, HeldSession, Kept } from './store.ts';

export interface SubscriptionsOptions {
  readonly feed: Pick<Feed, 'add' | 'remove' | 'cursor'>;
  readonly session: Pick<HeldSession, 'subscribed'>;
  /** The one in force. */
  grant(): Grant;
  readonly quotas: Pick<Quotas, 'subscribe' | 'unsubscribe'>;
  /** Filters of one session. */
  readonly most: number;
}

/** One filter of a SUBSCRIBE on its way: what is held of it, or why it is not. */
type Asked = { readonly held: Held; readonly fresh: boolean; readonly retained: boolean } | Reason;

/** The subscriptions of one connection's session. One SUBSCRIBE or UNSUBSCRIBE is dealt with at a time. */
export class Subscriptions {
  readonly #o: SubscriptionsOptions;
  readonly #held = new Map<TopicFilter, Held>();
  #counted = 0;

  constructor(options: SubscriptionsOptions) {
    this.#o = options;
  }

  /** The highest QoS that anything can be delivered with. */
  get highest(): Qos {
    let highest: Qos = 0;
    for (const { qos } of this.#held.values()) if (qos > highest) highest = qos;
    return highest;
  }

  get(filter: TopicFilter): Held | undefined {
    return this.#held.get(filter);
  }

  /** Takes over what was kept. @throws PushfleetError `quota_subscriptions` */
  restore({ subscriptions }: Kept): void {
    this.#count(subscriptions.length);
    for (const held of subscriptions) this.#held.set(held.filter, held);
  }

  /** Has the feed go on where the session's last one ended. @throws PushfleetError as the feed does */
  async resume({ cursor }: Kept): Promise<void> {
    const grant = this.#o.grant();
    // What the token no longer grants is held, and given again should another one grant it.
    const filters = [...this.#held.keys()].filter((filter) => grant.maySubscribe(filter));
    if (filters.length === 0) return;
    await this.#o.feed.add(filters, cursor === undefined ? {} : { after: cursor });
  }

  /**
   * Section 3.8.4.
   *
   * @returns the reasons of its SUBACK, in the order of the filters ([MQTT-3.9.3-1])
   * @throws PushfleetError where the session is lost
   */
  async add({ subscriptions, properties }: Subscribe): Promise<readonly Reason[]> {
    const asked = subscriptions.map((one) => this.#ask(one, properties.subscriptionIdentifier));
    const taken = asked.filter((one) => typeof one !== 'number');
    const failed = taken.length === 0 ? undefined : await this.#add(taken);
    const { session, feed } = this.#o;
    if (taken.length > 0) await session.subscribed([...this.#held.values()], feed.cursor);
    return asked.map((one) => (typeof one === 'number' ? one : (failed ?? one.held.qos)));
  }

  /** Section 3.10.4. @returns the reasons of its UNSUBACK. @throws PushfleetError where the session is lost */
  async remove({ filters }: Unsubscribe): Promise<readonly Reason[]> {
    const answers = filters.map(({ share, filter }) => {
      if (share !== undefined || !this.#held.delete(filter as TopicFilter))
        return reasons.noSubscriptionExisted;
      this.#o.feed.remove(filter as TopicFilter);
      this.#count(-1);
      return reasons.success;
    });
    await this.#o.session.subscribed([...this.#held.values()], this.#o.feed.cursor);
    return answers;
  }

  /** @throws PushfleetError `forbidden` where a grant does not allow what the one in force does */
  require(grant: Grant): void {
    const before = this.#o.grant();
    for (const filter of this.#held.keys()) {
      if (before.maySubscribe(filter)) grant.require('subscribe', filter);
    }
  }

  /** Gives back what they took of the quota; the feed is closed by its owner. */
  close(): void {
    this.#count(-this.#counted);
  }

  /** Holds it from now on: what the feed gives may come before the SUBACK ([MQTT-3.8.4-1], non-normative). */
  #ask(subscription: Subscription, subscriptionId: number | undefined): Asked {
    if (subscription.share !== undefined) return reasons.sharedSubscriptionsNotSupported;
    try {
      const filter = parseTopicFilter(subscription.filter);
      this.#o.grant().require('subscribe', filter);
      const fresh = !this.#held.has(filter);
      if (fresh) this.#require();
      const { qos, noLocal, retainAsPublished, retainHandling } = subscription;
      const held = { filter, qos, noLocal, retainAsPublished, subscriptionId };
      this.#held.set(filter, held);
      // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
      return { held, fresh, retained: retainHandling === 0 || (retainHandling === 1 && fresh) };
    } catch (error) {
      return subscribeReason(PushfleetError.from(error).code);
    }
  }

  /** Room for one more. @throws PushfleetError `too_many_filters` or `quota_subscriptions` */
  #require(): void {
    const { most } = this.#o;
    if (this.#held.size >= most) {
      throw new PushfleetError('too_many_filters', `A session holds at most ${most} topic filters.`);
    }
    this.#count(1);
  }

  async #add(taken: readonly Exclude<Asked, Reason>[]): Promise<Reason | undefined> {
    const filters = taken.map(({ held }) => held.filter);
    const retained = taken.filter((one) => one.retained).map(({ held }) => held.filter);
    try {
      await this.#o.feed.add(filters, { retained });
      return undefined;
    } catch (error) {
      for (const { held, fresh } of taken) {
        if (fresh && this.#held.delete(held.filter)) this.#count(-1);
      }
      return subscribeReason(PushfleetError.from(error).code);
    }
  }

  #count(more: number): void {
    const { quotas } = this.#o;
    const { namespace } = this.#o.grant();
    if (more > 0) quotas.subscribe(namespace, more);
    else if (more < 0) quotas.unsubscribe(namespace, -more);
    this.#counted += more;
  }
}
