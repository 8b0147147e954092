import { type Namespace, PushfleetError } from '@pushfleet/core';
import { type GroupBus, SharedGroup, type SharedGroupOptions, type SharedMember } from './shared-group.ts';
import type { Held } from './store.ts';

export type SharedGroupsOptions = Pick<SharedGroupOptions, 'now' | 'after' | 'log'> & {
  bus(namespace: Namespace): GroupBus;
  /** Most groups that have a member at this process. */
  readonly most: number;
};

/** What a subscription is called: its filter, with `$share/` and the ShareName in front where it is shared. */
export const subscriptionName = ({ share, filter }: { share: string | undefined; filter: string }): string =>
  share === undefined ? filter : `$share/${share}/${filter}`;

/** A shared subscription. */
export type Shared = Pick<Held, 'filter'> & { readonly share: string };

/** The shared subscriptions that connections of this process take part in. */
export class SharedGroups {
  readonly #o: SharedGroupsOptions;
  /** How many connections are subscribed to each. */
  readonly #members = new Map<string, number>();
  readonly #groups = new Map<string, SharedGroup>();

  constructor(options: SharedGroupsOptions) {
    this.#o = options;
  }

  get size(): number {
    return this.#members.size;
  }

  /** A connection subscribes. @throws PushfleetError `too_many_filters` where there is no room for another group */
  enter(namespace: Namespace, shared: Shared): void {
    const { most } = this.#o;
    if (this.#members.size >= most && !this.#members.has(keyOf(namespace, subscriptionName(shared)))) {
      throw new PushfleetError(
        'too_many_filters',
        `This instance holds its most, ${most} shared subscriptions.`,
      );
    }
    this.resume(namespace, shared);
  }

  /** As `enter`, for one that its session is subscribed to already. */
  resume(namespace: Namespace, shared: Shared): void {
    const key = keyOf(namespace, subscriptionName(shared));
    this.#members.set(key, (this.#members.get(key) ?? 0) + 1);
  }

  /** A connection is gone, or not subscribed any more. */
  leave(namespace: Namespace, shared: Shared): void {
    const key = keyOf(namespace, subscriptionName(shared));
    const left = (this.#members.get(key) ?? 0) - 1;
    if (left > 0) this.#members.set(key, left);
    else this.#members.delete(key);
  }

  /** Has the group give the member its part until it is detached. @param id the group's name in the log */
  attach(namespace: Namespace, shared: Shared, id: string, member: SharedMember): SharedGroup {
    const key = keyOf(namespace, id);
    const group = this.#groups.get(key) ?? this.#create(namespace, shared, id);
    group.attach(member);
    return group;
  }

  close(): void {
    for (const group of this.#groups.values()) group.close();
    this.#groups.clear();
  }

  #create(namespace: Namespace, shared: Shared, id: string): SharedGroup {
    const { now, after, log } = this.#o;
    const key = keyOf(namespace, id);
    const group: SharedGroup = new SharedGroup({
      ...{ id, name: subscriptionName(shared), filter: shared.filter, bus: this.#o.bus(namespace) },
      ...{ now, after, log },
      onEmpty: () => {
        if (this.#groups.get(key) === group) this.#groups.delete(key);
      },
    });
    this.#groups.set(key, group);
    return group;
  }
}

/** Whether it is one of several sessions' together. */
export const isShared = <T extends Pick<Held, 'share'>>(held: T): held is T & { readonly share: string } =>
  held.share !== undefined;

// A namespace holds no blank.
const keyOf = (namespace: Namespace, name: string): string => `${namespace} ${name}`;
