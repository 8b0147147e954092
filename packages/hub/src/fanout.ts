import { FilterTrie, type Publication, type Topic, type TopicFilter } from '@pushfleet/core';
import type { Envelope, PublicationParcel } from './delivery.ts';
import type { Mark } from './mark.ts';
import type { Receiver, Subscription } from './subscription.ts';
import type { Tally } from './tally.ts';

/** The live subscriptions of one filter. */
interface Holders {
  readonly filter: TopicFilter;
  readonly filters: readonly TopicFilter[];
  readonly live: Subscription<Member>[];
}

/** A receiver with room for what the fan-out notes about it while several filters match. */
export interface Member extends Receiver {
  /** Whether it was given the publication from the log already. */
  hasLogged(publication: Publication): boolean;
  stamp: number;
  combination: Combination | undefined;
}

/** Filters that match one publication for one feed; feeds with the same ones share the parcel. */
export class Combination {
  readonly #filters: readonly TopicFilter[];
  readonly #wider = new Map<Holders, Combination>();
  #parcel: PublicationParcel | undefined;

  constructor(filters: readonly TopicFilter[]) {
    this.#filters = filters;
  }

  with(holders: Holders): Combination {
    let wider = this.#wider.get(holders);
    if (wider === undefined) {
      wider = new Combination([...this.#filters, holders.filter]);
      this.#wider.set(holders, wider);
    }
    return wider;
  }

  parcel(envelope: Envelope): PublicationParcel {
    const parcel = this.#parcel ?? envelope.parcel(this.#filters);
    this.#parcel = parcel;
    return parcel;
  }
}

/** Gives each live publication to every feed with a matching filter, once. */
export class Fanout {
  readonly #trie = new FilterTrie<Holders>();
  readonly #matched: Holders[] = [];
  readonly #touched: Member[] = [];
  #stamp = 0;
  #busy = false;
  /** Who left in the middle of a fan-out, through what it was offered. */
  #leaving: Subscription<Member>[] = [];

  /** Filters with live subscriptions. */
  get size(): number {
    return this.#trie.size;
  }

  add(subscription: Subscription<Member>): void {
    const { filter } = subscription;
    let holders = this.#trie.get(filter);
    if (holders === undefined) {
      holders = { filter, filters: [filter], live: [] };
      this.#trie.set(filter, holders);
    }
    subscription.index = holders.live.push(subscription) - 1;
  }

  remove(subscription: Subscription<Member>): void {
    if (this.#busy) {
      this.#leaving.push(subscription);
      return;
    }
    const holders = this.#trie.get(subscription.filter);
    const last = holders?.live.at(-1);
    if (!subscription.live || holders === undefined || last === undefined) return;
    holders.live[subscription.index] = last;
    last.index = subscription.index;
    holders.live.pop();
    subscription.index = -1;
    if (holders.live.length === 0) this.#trie.delete(subscription.filter);
  }

  /** The feeds whose live filters match the topic. */
  feedsOn(topic: Topic): number {
    this.#trie.match(topic, this.#matched);
    const receivers = new Set(this.#matched.flatMap(({ live }) => live.map(({ receiver }) => receiver)));
    this.#matched.length = 0;
    return receivers.size;
  }

  /** `before`: the place without this publication. */
  publish(envelope: Envelope, before: Mark): void {
    this.#trie.match(envelope.publication.topic, this.#matched);
    const only = this.#matched[0];
    if (only === undefined) return;
    this.#count(envelope.tally);
    if (this.#matched.length > 1) {
      this.#publishCombined(envelope, before, always);
      return;
    }
    const parcel = envelope.parcel(only.filters);
    const { live } = only;
    envelope.tally.matched += live.length;
    this.#busy = true;
    for (let i = 0; i < live.length; i++) (live[i] as Subscription<Member>).receiver.offer(parcel, before);
    this.#rest();
  }

  /** The same for a publication that some subscriptions are not owed, or have already. */
  publishOwed(envelope: Envelope, before: Mark, late: boolean): void {
    this.#trie.match(envelope.publication.topic, this.#matched);
    this.#count(envelope.tally);
    this.#publishCombined(
      envelope,
      before,
      (one, publication) => one.isOwed(publication, late) && !one.receiver.hasLogged(publication),
    );
  }

  #publishCombined(envelope: Envelope, before: Mark, isOwed: typeof always): void {
    const { publication } = envelope;
    const none = new Combination([]);
    const stamp = ++this.#stamp;
    for (const holders of this.#matched) {
      for (const one of holders.live) {
        if (!isOwed(one, publication)) continue;
        const { receiver } = one;
        if (receiver.stamp !== stamp) {
          receiver.stamp = stamp;
          receiver.combination = none;
          this.#touched.push(receiver);
        }
        receiver.combination = (receiver.combination as Combination).with(holders);
      }
    }
    envelope.tally.matched += this.#touched.length;
    this.#busy = true;
    for (const receiver of this.#touched) {
      const combination = receiver.combination as Combination;
      receiver.combination = undefined;
      receiver.offer(combination.parcel(envelope), before);
    }
    this.#touched.length = 0;
    this.#rest();
  }

  #count(tally: Tally): void {
    tally.filters = this.#matched.map(({ filter, live }) => ({ filter, feeds: live.length }));
  }

  #rest(): void {
    this.#busy = false;
    if (this.#leaving.length === 0) return;
    const leaving = this.#leaving;
    this.#leaving = [];
    for (const one of leaving) this.remove(one);
  }
}

const always = (_one: Subscription<Member>, _publication: Publication): boolean => true;
