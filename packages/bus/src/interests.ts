import { isExact, matches, type Topic, type TopicFilter } from '@pushfleet/core';
import type { LiveMessage } from './source.ts';

/** One followed filter. */
export interface Interest {
  readonly filter: TopicFilter;
  readonly detach: () => void;
  /** The fence: what is stored later reaches this interest. Undefined until the log answered. */
  joined: readonly number[] | undefined;
  /** What came before the fence was known. */
  early: LiveMessage[];
  /** Some of `early` had to be dropped. */
  overflowed: boolean;
}

/** The filters of one follower, found by topic. */
export class Interests {
  readonly #all = new Map<TopicFilter, Interest>();
  readonly #wildcards = new Set<Interest>();

  get size(): number {
    return this.#all.size;
  }

  get filters(): TopicFilter[] {
    return [...this.#all.keys()];
  }

  get(filter: TopicFilter): Interest | undefined {
    return this.#all.get(filter);
  }

  set(interest: Interest): void {
    this.#all.set(interest.filter, interest);
    if (!isExact(interest.filter)) this.#wildcards.add(interest);
  }

  delete(interest: Interest): void {
    this.#all.delete(interest.filter);
    this.#wildcards.delete(interest);
  }

  detachAll(): void {
    for (const interest of this.#all.values()) interest.detach();
    this.#all.clear();
    this.#wildcards.clear();
  }

  *matching(topic: string): Iterable<Interest> {
    const exact = this.#all.get(topic as TopicFilter);
    if (exact !== undefined) yield exact;
    for (const interest of this.#wildcards) {
      if (matches(interest.filter, topic as Topic)) yield interest;
    }
  }

  /** The earliest fence among the interests that match: a later one must not excuse what an earlier one is owed. */
  earliestFence(topic: string, shard: number): number {
    let fence = Number.POSITIVE_INFINITY;
    for (const { joined } of this.matching(topic)) {
      if (joined !== undefined) fence = Math.min(fence, joined[shard] ?? 0);
    }
    return fence;
  }
}
