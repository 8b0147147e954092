import { isExact, matches, type Topic, type TopicFilter } from '@pushfleet/core';

const none: readonly TopicFilter[] = [];

/** Filters that are replayed together. Equal sets have equal keys, whoever made them. */
export class FilterSet {
  readonly filters: readonly TopicFilter[];
  readonly key: string;
  readonly #only: TopicFilter | undefined;
  /** What matched lately: equal answers are one array. */
  #lastMatch: readonly TopicFilter[] = none;

  constructor(filters: Iterable<TopicFilter>) {
    this.filters = [...new Set(filters)].sort();
    this.key = this.filters.join('\0'); // no topic holds NUL
    this.#only = this.filters.length === 1 ? this.filters[0] : undefined;
  }

  /** The filters of the set that match; the same array for the same answer as last time. */
  match(topic: Topic): readonly TopicFilter[] {
    if (this.#only !== undefined) {
      const hit = isExact(this.#only) ? (this.#only as string) === topic : matches(this.#only, topic);
      return hit ? this.filters : none;
    }
    const found = this.filters.filter((filter) => matches(filter, topic));
    const last = this.#lastMatch;
    if (found.length === last.length && found.every((filter, i) => filter === last[i])) return last;
    this.#lastMatch = found;
    return found;
  }
}
