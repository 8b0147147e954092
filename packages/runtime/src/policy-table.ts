import { covers, type Namespace, overlaps, type Topic, type TopicFilter } from '@pushfleet/core';
import { FilterIndex, noRank } from './filter-index.ts';
import type { Feed, PolicyFile, Quota, TopicRule } from './policy-file.ts';

/** What holds for a topic: the entry whose filter is the first to match it, or no limit at all. */
export interface TopicPolicy {
  /** The filter of the entry; absent where none matches. */
  readonly filter?: TopicFilter;
  /** How long the log keeps a publication, in milliseconds; absent: as long as anything. */
  readonly retentionMs?: number;
  /** Largest payload, in bytes. */
  readonly maxBytes?: number;
  /** Publications a second, for each topic and instance of publish. */
  readonly rate?: number;
  /** Whether the topic's past may be read. */
  readonly history: boolean;
  /** Whether it may be said and asked who is on the topic. */
  readonly presence: boolean;
  /** Strangers, who have no token, may subscribe to it. */
  readonly public?: true;
}

const unlimited: TopicPolicy = Object.freeze({ history: true, presence: true });
const noQuota: Quota = Object.freeze({});
/** Answers of `retentionMs` that are remembered. */
const mostRemembered = 10_000;

/** The policies of one file. The first entry that matches is the one that counts, in both lists. */
export class PolicyTable {
  readonly #topics: readonly TopicRule[];
  /** Ranks of the rules of every namespace, and of those of one. */
  readonly #everywhere = new FilterIndex();
  readonly #within = new Map<Namespace, FilterIndex>();
  /** Those in which something is public. */
  readonly publicNamespaces: ReadonlySet<Namespace>;
  readonly #quotas = new Map<Namespace, Quota>();
  readonly #feeds: ReadonlyMap<string, Feed>;
  #quotaOfOthers: Quota = noQuota;
  /** Whether some namespace may store only so much. */
  readonly limitsStorage: boolean;
  readonly #retentions = new Map<string, number | undefined>();

  constructor({ topics, quotas, feeds }: PolicyFile) {
    this.#topics = topics;
    this.#feeds = new Map(feeds.map((feed) => [feed.url, feed]));
    this.limitsStorage = quotas.some(({ quota }) => quota.storedBytes !== undefined);
    this.publicNamespaces = new Set(topics.flatMap((rule) => (rule.public && rule.namespace) || []));
    for (const [rank, rule] of topics.entries()) this.#index(rule.namespace).add(rule.filter, rank);
    for (const { namespace, quota } of quotas) {
      if (namespace === undefined) {
        this.#quotaOfOthers = quota;
        break; // nothing behind it is reached
      }
      if (!this.#quotas.has(namespace)) this.#quotas.set(namespace, quota);
    }
  }

  #index(namespace: Namespace | undefined): FilterIndex {
    if (namespace === undefined) return this.#everywhere;
    const index = this.#within.get(namespace) ?? new FilterIndex();
    this.#within.set(namespace, index);
    return index;
  }

  of(namespace: Namespace, topic: Topic): TopicPolicy {
    if (this.#topics.length === 0) return unlimited;
    return this.#topics[this.#rank(namespace, topic)] ?? unlimited;
  }

  /** In which namespace strangers find a topic: that of the first entry that makes it public. */
  publicIn(topic: Topic): Namespace | undefined {
    let found: TopicRule | undefined;
    let least = noRank;
    for (const namespace of this.publicNamespaces) {
      const rank = this.#rank(namespace, topic);
      const rule = this.#topics[rank];
      if (rule?.public === true && rank < least) [found, least] = [rule, rank];
    }
    return found?.namespace;
  }

  feedAt(url: string): Feed | undefined {
    return this.#feeds.get(url);
  }

  #rank(namespace: Namespace, topic: Topic): number {
    const own = this.#within.get(namespace)?.first(topic) ?? noRank;
    return Math.min(own, this.#everywhere.first(topic));
  }

  quota(namespace: Namespace): Quota {
    return this.#quotas.get(namespace) ?? this.#quotaOfOthers;
  }

  retentionMs(namespace: Namespace, filter: TopicFilter): number | undefined {
    const key = `${namespace} ${filter}`;
    if (this.#topics.length === 0 || this.#retentions.has(key)) return this.#retentions.get(key);
    if (this.#retentions.size >= mostRemembered) this.#retentions.clear();
    const shortest = this.#shortest(namespace, filter);
    this.#retentions.set(key, shortest);
    return shortest;
  }

  #shortest(namespace: Namespace, filter: TopicFilter): number | undefined {
    let shortest = Number.POSITIVE_INFINITY;
    for (const rule of this.#topics) {
      if (rule.namespace !== undefined && rule.namespace !== namespace) continue;
      if (!overlaps(rule.filter, filter)) continue;
      // A topic without history owes nothing to who was away: every wide filter would be told of a gap for it.
      if (rule.history) shortest = Math.min(shortest, rule.retentionMs ?? Number.POSITIVE_INFINITY);
      if (covers(rule.filter, filter)) break; // no later rule is the first to match any of its topics
    }
    return shortest === Number.POSITIVE_INFINITY ? undefined : shortest;
  }
}
