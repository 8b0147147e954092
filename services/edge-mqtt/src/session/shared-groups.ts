import { type Namespace, PushfleetError } from '@pushfleet/core';
import type { Hub } from '@pushfleet/hub';
import { SharedGroup, type Work } from './shared-group.ts';
import type { Held, Kept } from './store.ts';

export interface SharedGroupsOptions {
  hub(namespace: Namespace): Pick<Hub, 'open'>;
  /** Of each group. */
  readonly outbox: { readonly count: number; readonly bytes: number };
  /** Most groups of this process. */
  readonly most: number;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** What a subscription is called: its filter, with `$share/` and the ShareName in front where it is shared. */
export const subscriptionName = ({ share, filter }: { share: string | undefined; filter: string }): string =>
  share === undefined ? filter : `$share/${share}/${filter}`;

/** A shared subscription. */
export type Shared = Pick<Held, 'filter'> & { readonly share: string };

/**
 * The shared subscriptions of this process. Each is there for as long as a session is subscribed (section 4.8.2), and
 * its work comes back here from sessions that ended with it.
 */
export class SharedGroups {
  readonly #o: SharedGroupsOptions;
  readonly #groups = new Map<string, SharedGroup>();

  constructor(options: SharedGroupsOptions) {
    this.#o = options;
  }

  get size(): number {
    return this.#groups.size;
  }

  /** The one that a session is subscribed to. */
  of(namespace: Namespace, shared: Shared): SharedGroup | undefined {
    return this.#groups.get(keyOf(namespace, subscriptionName(shared)));
  }

  /**
   * A session subscribes. Resolves once all that is stored from then on comes to one of the group.
   *
   * @throws PushfleetError `too_many_filters` where there is no room for another group, or as feeds do
   */
  async join(namespace: Namespace, shared: Shared): Promise<SharedGroup> {
    const group = this.of(namespace, shared) ?? this.#create(namespace, shared);
    group.sessions++;
    try {
      await group.open();
      return group;
    } catch (error) {
      this.#leave(namespace, group);
      throw error;
    }
  }

  /** A session is subscribed no more. */
  leave(namespace: Namespace, shared: Shared): void {
    const group = this.of(namespace, shared);
    if (group !== undefined) this.#leave(namespace, group);
  }

  /**
   * A session is over. What it was sent with QoS 1 and did not acknowledge goes to others of the group; what it was sent
   * with QoS 2 must not ([MQTT-4.8.2-5]).
   */
  ended(
    namespace: Namespace,
    { subscriptions, unfinished }: Pick<Kept, 'subscriptions' | 'unfinished'>,
  ): void {
    for (const { sent } of unfinished) {
      if (sent?.share !== undefined && sent.qos < 2) this.giveBack(namespace, sent.share, [sent]);
    }
    for (const held of subscriptions) if (isShared(held)) this.leave(namespace, held);
  }

  /** Others of the group may have what one was given. @param name as `subscriptionName` says */
  giveBack(namespace: Namespace, name: string, work: readonly Pick<Work, 'publication'>[]): void {
    this.#groups.get(keyOf(namespace, name))?.giveBack(work.map(({ publication }) => publication));
  }

  close(): void {
    for (const group of this.#groups.values()) group.close();
    this.#groups.clear();
  }

  #create(namespace: Namespace, shared: Shared): SharedGroup {
    const { most, outbox, now } = this.#o;
    if (this.#groups.size >= most) {
      throw new PushfleetError(
        'too_many_filters',
        `This instance holds its most, ${most} shared subscriptions.`,
      );
    }
    const name = subscriptionName(shared);
    const group = new SharedGroup({ name, filter: shared.filter, hub: this.#o.hub(namespace), outbox, now });
    this.#groups.set(keyOf(namespace, name), group);
    return group;
  }

  #leave(namespace: Namespace, group: SharedGroup): void {
    if (--group.sessions > 0) return;
    group.close();
    this.#groups.delete(keyOf(namespace, group.name));
  }
}

/** Whether it is one of several sessions' together. */
export const isShared = <T extends Held>(held: T): held is T & Shared => held.share !== undefined;

// A namespace holds no blank.
const keyOf = (namespace: Namespace, name: string): string => `${namespace} ${name}`;
