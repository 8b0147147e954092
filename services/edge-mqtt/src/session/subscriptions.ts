import {
  type Cursor,
  matches,
  PushfleetError,
  parseTopicFilter,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import type { Delivery, Feed } from '@pushfleet/hub';
import type { Grant, Quotas } from '@pushfleet/runtime';
import { subscribeReason, type Why, whyOf } from '../close-code.ts';
import {
  type Qos,
  type Reason,
  reasons,
  type Subscribe,
  type Subscription,
  type Unsubscribe,
} from '../codec.ts';
import { gapTopic } from '../publication/gap.ts';
import type { SharedGroup, SharedMember } from './shared-group.ts';
import { isShared, type SharedGroups, subscriptionName } from './shared-groups.ts';
import type { Held, HeldSession, Kept } from './store.ts';

export interface SubscriptionsOptions {
  readonly feed: Pick<Feed, 'add' | 'remove' | 'cursor' | 'live'>;
  readonly groups: Pick<SharedGroups, 'enter' | 'resume' | 'leave' | 'attach'>;
  /** This connection, for the groups. */
  readonly member: SharedMember;
  readonly session: Pick<HeldSession, 'subscribed'>;
  /** What this client's own publications have as theirs. */
  readonly origin: string;
  /** Who has the grant in force, which may change. */
  readonly owner: { readonly grant: Grant };
  readonly quotas: Pick<Quotas, 'subscribe' | 'unsubscribe'>;
  /** Filters of one session. */
  readonly most: number;
}

/** How a publication is to be sent, as far as subscriptions say. */
export type Wanted = Pick<Held, 'qos' | 'retainAsPublished' | 'subscriptionIds'>;

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
  /** By `subscriptionName`. */
  readonly #held = new Map<string, Held>();
  /** Groups that this connection is given work by. */
  #groups: Map<string, SharedGroup> | undefined;
  /**
   * Deliveries name all filters that match. While one has yet to catch up with the others, what one gives the others do
   * not, and the delivery tells of that one alone.
   */
  #whole = true;
  /** Undefined: it is to be looked for. */
  #highest: Qos | undefined;
  /** The filters that were asked about last, and what was answered: a publication after the other has the same. */
  #asked: readonly TopicFilter[] | undefined;
  #wanted: Wanted | undefined;
  #counted = 0;
  #closed = false;

  constructor(options: SubscriptionsOptions) {
    this.#o = options;
  }

  get #grant(): Grant {
    return this.#o.owner.grant;
  }

  /** The highest QoS that anything can be delivered with. */
  get highest(): Qos {
    this.#highest ??= highestOf(this.#held.values());
    return this.#highest;
  }

  /** @param name as `subscriptionName` says */
  get(name: string): Held | undefined {
    return this.#held.get(name);
  }

  /**
   * What is asked for of a delivery of the feed by all filters that match ([MQTT-3.3.4-2], [MQTT-3.3.4-4]); undefined:
   * nothing.
   */
  wanted({
    filters,
    retained,
    publication,
  }: Pick<Delivery, 'filters' | 'retained' | 'publication'>): Wanted | undefined {
    // A retained publication comes by the filters that ask for it alone.
    const named = this.#whole || retained;
    if (named && filters === this.#asked) return this.#wanted;
    const held = named
      ? filters.flatMap((filter) => this.#held.get(filter) ?? [])
      : this.#matching(publication.topic);
    const own = held.some(({ noLocal }) => noLocal);
    // [MQTT-3.8.3-3]
    if (own && publication.origin === this.#o.origin) return together(held.filter(({ noLocal }) => !noLocal));
    const wanted = together(held);
    if (named && !own) {
      this.#asked = filters;
      this.#wanted = wanted;
    }
    return wanted;
  }

  /** The subscriptions by which a publication comes, none of them shared. */
  #matching(topic: Topic): Held[] {
    return [...this.#held.values()].filter(
      (held) =>
        held.share === undefined && matches(held.filter, topic) && this.#grant.maySubscribe(held.filter),
    );
  }

  /** The feed has nothing more to give at this moment. */
  emptied(): void {
    if (!this.#whole && this.#o.feed.live) this.#whole = true;
  }

  /** Takes over what was kept. @throws PushfleetError `quota_subscriptions` */
  restore({ subscriptions }: Kept): void {
    this.#count(subscriptions.length);
    for (const held of subscriptions) {
      if (isShared(held)) this.#o.groups.resume(this.#grant.namespace, held);
      this.#hold(held);
    }
  }

  /** Has the feed go on where the session's last one ended. @throws PushfleetError as the feed does */
  async resume({ cursor }: Kept): Promise<void> {
    // What the token no longer grants is held, and given again should another one grant it.
    const granted = [...this.#held.values()].filter(({ filter }) => this.#grant.maySubscribe(filter));
    const filters = granted.filter((held) => !isShared(held)).map(({ filter }) => filter);
    this.#attach();
    if (filters.length > 0) await this.#o.feed.add(filters, cursor === undefined ? {} : { after: cursor });
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
    const failed = new Map<string, PushfleetError>();
    const own = taken.filter(({ held }) => !isShared(held));
    await this.#add(own, after as Cursor | undefined, failed);
    if (taken.length > 0) await this.#record();
    this.#attach();
    const outcomes = asked.map((one) =>
      isTaken(one) ? (failed.get(subscriptionName(one.held)) ?? one.held.qos) : one,
    );
    const error = outcomes.find((one) => one instanceof PushfleetError);
    return {
      reasons: outcomes.map((one) => (one instanceof PushfleetError ? subscribeReason(one.code) : one)),
      why: error && whyOf(error),
    };
  }

  /** Section 3.10.4. @throws PushfleetError where the session is lost */
  async remove({ filters }: Unsubscribe): Promise<Outcome> {
    const answers = filters.map((one) => {
      const held = this.#held.get(subscriptionName(one));
      if (held === undefined) return reasons.noSubscriptionExisted;
      this.#forget(held);
      if (!isShared(held)) this.#o.feed.remove(held.filter);
      return reasons.success;
    });
    await this.#record();
    this.offer(false);
    return { reasons: answers, why: undefined };
  }

  /** @throws PushfleetError `forbidden` where a grant does not allow what the one in force does */
  require(grant: Grant): void {
    const before = this.#grant;
    for (const { filter } of this.#held.values()) {
      if (before.maySubscribe(filter)) grant.require('subscribe', filter);
    }
  }

  /** Whether groups give this connection work. */
  get sharing(): boolean {
    return this.#groups !== undefined;
  }

  /** The client may take more: its groups have something for it, perhaps. As `SharedGroup.offer`. */
  offer(waits: boolean): boolean {
    let waiting = false;
    for (const group of this.#groups?.values() ?? []) {
      if (group.offer(this.#o.member, waits)) waiting = true;
    }
    return waiting;
  }

  /** Gives back what they took of the quota; the feed is closed by its owner. */
  close(): void {
    this.#closed = true;
    const { groups, member } = this.#o;
    for (const group of this.#groups?.values() ?? []) group.detach(member);
    this.#groups = undefined;
    for (const held of this.#held.values()) if (isShared(held)) groups.leave(this.#grant.namespace, held);
    this.#count(-this.#counted);
  }

  /** Holds it from now on: what the feed gives may come before the SUBACK ([MQTT-3.8.4-1], non-normative). */
  #ask(subscription: Subscription, subscriptionId: number | undefined): Asked {
    const { share, qos, noLocal, retainAsPublished, retainHandling } = subscription;
    try {
      const filter = parseTopicFilter(subscription.filter);
      // What concerns this connection alone is everybody's to hear, once.
      const gaps = share === undefined && filter === gapTopic;
      if (!gaps) this.#grant.require('subscribe', filter);
      const subscriptionIds = subscriptionId === undefined ? [] : [subscriptionId];
      const before = this.#held.get(subscriptionName({ share, filter }));
      const options = { qos: gaps ? (0 as const) : qos, noLocal, retainAsPublished, subscriptionIds };
      const held = { share, group: before?.group, filter, ...options };
      const fresh = before === undefined;
      if (fresh) this.#require(held);
      this.#hold(held);
      // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
      return { held, fresh, retained: retainHandling === 0 || (retainHandling === 1 && fresh) };
    } catch (error) {
      return PushfleetError.from(error);
    }
  }

  /** Room for one more. @throws PushfleetError `too_many_filters` or `quota_subscriptions` */
  #require(held: Held): void {
    const { most, groups } = this.#o;
    if (this.#held.size >= most) {
      throw new PushfleetError('too_many_filters', `A session holds at most ${most} topic filters.`);
    }
    this.#count(1);
    if (!isShared(held)) return;
    try {
      groups.enter(this.#grant.namespace, held);
    } catch (error) {
      this.#count(-1);
      throw error;
    }
  }

  async #add(
    all: readonly Taken[],
    after: Cursor | undefined,
    failed: Map<string, PushfleetError>,
  ): Promise<void> {
    const taken = all.filter(({ held }) => held.filter !== gapTopic);
    if (taken.length === 0) return;
    const filters = taken.map(({ held }) => held.filter);
    const retained = taken.filter((one) => one.retained).map(({ held }) => held.filter);
    try {
      await this.#o.feed.add(filters, { retained, ...(after !== undefined && { after }) });
      this.#whole = false;
    } catch (error) {
      for (const one of taken) this.#failed(one, error, failed);
    }
  }

  #failed({ held, fresh }: Taken, error: unknown, failed: Map<string, PushfleetError>): void {
    failed.set(subscriptionName(held), PushfleetError.from(error));
    if (fresh) this.#forget(held);
  }

  #hold(held: Held): void {
    this.#held.set(subscriptionName(held), held);
    this.#changed();
  }

  #forget(held: Held): void {
    const name = subscriptionName(held);
    if (!this.#held.delete(name)) return;
    this.#changed();
    if (isShared(held)) this.#o.groups.leave(this.#grant.namespace, held);
    this.#groups?.get(name)?.detach(this.#o.member);
    this.#groups?.delete(name);
    if (this.#groups?.size === 0) this.#groups = undefined;
    this.#count(-1);
  }

  #changed(): void {
    this.#highest = undefined;
    this.#asked = undefined;
  }

  /** The session knows what is subscribed, and says which groups are meant. */
  async #record(): Promise<void> {
    const { session, feed } = this.#o;
    const shared = await session.subscribed([...this.#held.values()], feed.cursor);
    for (const { group, ...one } of shared ?? []) {
      const held = this.#held.get(subscriptionName(one));
      if (held !== undefined) this.#hold({ ...held, group });
    }
  }

  /**
   * Has the groups that are held give this connection its part. Retained publications are not sent for a shared
   * subscription (section 4.8.2).
   */
  #attach(): void {
    if (this.#closed) return;
    const { groups, member } = this.#o;
    const grant = this.#grant;
    for (const [name, held] of this.#held) {
      if (!isShared(held) || held.group === undefined || this.#groups?.has(name)) continue;
      if (!grant.maySubscribe(held.filter)) continue;
      this.#groups ??= new Map();
      this.#groups.set(name, groups.attach(grant.namespace, held, held.group, member));
    }
  }

  #count(more: number): void {
    const { quotas } = this.#o;
    const { namespace } = this.#grant;
    if (more > 0) quotas.subscribe(namespace, more);
    else if (more < 0) quotas.unsubscribe(namespace, -more);
    this.#counted += more;
  }
}

const wantedOf = (qos: Qos, retainAsPublished: boolean): Wanted => ({
  ...{ qos, retainAsPublished, subscriptionIds: [] },
});
/** What is wanted without identifiers, by QoS: one object of each for all connections, which is at hand in the cache. */
const plain = ([0, 1, 2] as const).map((qos) => [wantedOf(qos, false), wantedOf(qos, true)] as const);

function together(held: readonly Held[]): Wanted | undefined {
  if (held.length === 0) return undefined;
  const qos = highestOf(held);
  const retainAsPublished = held.some((one) => one.retainAsPublished);
  const subscriptionIds = held.flatMap((one) => one.subscriptionIds);
  if (subscriptionIds.length > 0) return { qos, retainAsPublished, subscriptionIds };
  return plain[qos]?.[retainAsPublished ? 1 : 0];
}

function highestOf(held: Iterable<Held>): Qos {
  let highest: Qos = 0;
  for (const { qos } of held) if (qos > highest) highest = qos;
  return highest;
}
