import { type Cursor, PushfleetError, parseTopicFilter, type TopicFilter } from '@pushfleet/core';
import type { Feed } from '@pushfleet/hub';
import type { Grant, Quotas } from '@pushfleet/runtime';
import { subscribeReason, type Why, whyOf } from './close-code.ts';
import {
  type Qos,
  type Reason,
  reasons,
  type Subscribe,
  type Subscription,
  type Unsubscribe,
} from './codec.ts';
import { gapTopic } from './gap.ts';
import type { Held, HeldSession, Kept } from './store.ts';

export interface SubscriptionsOptions {
  readonly feed: Pick<Feed, 'add' | 'remove' | 'cursor'>;
  readonly session: Pick<HeldSession, 'subscribed'>;
  readonly grant: Grant;
  readonly quotas: Pick<Quotas, 'subscribe' | 'unsubscribe'>;
  /** Filters of one session. */
  readonly most: number;
}

/** One filter of a SUBSCRIBE on its way: what is held of it, or why it is not. */
type Asked = Taken | PushfleetError | Reason;

interface Taken {
  readonly held: Held;
  readonly fresh: boolean;
  readonly retained: boolean;
}

const isTaken = (one: Asked): one is Taken => typeof one === 'object' && 'held' in one;

/** What a SUBACK or UNSUBACK says. */
export interface Outcome {
  /** In the order of the filters ([MQTT-3.9.3-1], [MQTT-3.11.3-1]). */
  readonly reasons: readonly Reason[];
  /** Of the first filter that failed. */
  readonly why: Why | undefined;
}

/** Where a client goes on from, which MQTT has no property for. */
export const cursorProperty = 'pushfleetcursor';

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
    // What the token no longer grants is held, and given again should another one grant it.
    const filters = [...this.#held.keys()].filter((filter) => this.#o.grant.maySubscribe(filter));
    if (filters.length === 0) return;
    await this.#o.feed.add(filters, cursor === undefined ? {} : { after: cursor });
  }

  /**
   * Section 3.8.4.
   *
   * @throws PushfleetError where the session is lost
   */
  async add({ subscriptions, properties }: Subscribe): Promise<Outcome> {
    const asked = subscriptions.map((one) => this.#ask(one, properties.subscriptionIdentifier));
    const taken = asked.filter(isTaken);
    const after = properties.userProperties?.find(([name]) => name === cursorProperty)?.[1];
    const failed = await this.#add(taken, after as Cursor | undefined);
    const { session, feed } = this.#o;
    if (taken.length > 0) await session.subscribed([...this.#held.values()], feed.cursor);
    const outcomes = asked.map((one) => (isTaken(one) ? (failed ?? one.held.qos) : one));
    const error = outcomes.find((one) => one instanceof PushfleetError);
    return {
      reasons: outcomes.map((one) => (one instanceof PushfleetError ? subscribeReason(one.code) : one)),
      why: error && whyOf(error),
    };
  }

  /** Section 3.10.4. @throws PushfleetError where the session is lost */
  async remove({ filters }: Unsubscribe): Promise<Outcome> {
    const answers = filters.map(({ share, filter }) => {
      if (share !== undefined || !this.#held.delete(filter as TopicFilter))
        return reasons.noSubscriptionExisted;
      this.#o.feed.remove(filter as TopicFilter);
      this.#count(-1);
      return reasons.success;
    });
    await this.#o.session.subscribed([...this.#held.values()], this.#o.feed.cursor);
    return { reasons: answers, why: undefined };
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
      const gaps = filter === gapTopic;
      if (!gaps) this.#o.grant.require('subscribe', filter);
      const fresh = !this.#held.has(filter);
      if (fresh) this.#require();
      const { noLocal, retainAsPublished, retainHandling } = subscription;
      // What is said once and of this connection alone is not kept to be said again.
      const qos = gaps ? 0 : subscription.qos;
      const held = { filter, qos, noLocal, retainAsPublished, subscriptionId };
      this.#held.set(filter, held);
      // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
      return { held, fresh, retained: retainHandling === 0 || (retainHandling === 1 && fresh) };
    } catch (error) {
      return PushfleetError.from(error);
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

  /** @returns why all of them failed */
  async #add(all: readonly Taken[], after: Cursor | undefined): Promise<PushfleetError | undefined> {
    const taken = all.filter(({ held }) => held.filter !== gapTopic);
    if (taken.length === 0) return undefined;
    const filters = taken.map(({ held }) => held.filter);
    const retained = taken.filter((one) => one.retained).map(({ held }) => held.filter);
    try {
      await this.#o.feed.add(filters, { retained, ...(after !== undefined && { after }) });
      return undefined;
    } catch (error) {
      for (const { held, fresh } of taken) {
        if (fresh && this.#held.delete(held.filter)) this.#count(-1);
      }
      return PushfleetError.from(error);
    }
  }

  #count(more: number): void {
    const { quotas, grant } = this.#o;
    if (more > 0) quotas.subscribe(grant.namespace, more);
    else if (more < 0) quotas.unsubscribe(grant.namespace, -more);
    this.#counted += more;
  }
}
