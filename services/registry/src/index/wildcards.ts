import { isExact, LevelTrie, type Namespace, type Topic, type TopicFilter } from '@pushfleet/core';
import type { SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { IndexChange } from '../subscriptions/subscription-index.ts';
import { isMatched } from './encoding.ts';

/** A page of a namespace's wildcard filters, each behind the digit of its kind, from behind `after`. */
export type ReadFilters = (namespace: Namespace, after: string, count: number) => Promise<readonly string[]>;

const pageSize = 5_000;
/** A filter that nobody has any more stays until so many more than there are, or a quarter more, are held. */
const slack = 1_000;

class Tries {
  readonly #byKind = new Map<number, LevelTrie<TopicFilter>>();

  get size(): number {
    let size = 0;
    for (const trie of this.#byKind.values()) size += trie.size;
    return size;
  }

  add(kind: number, filter: TopicFilter): void {
    const trie = this.#byKind.get(kind) ?? new LevelTrie();
    this.#byKind.set(kind, trie);
    if (trie.get(filter) === undefined) trie.set(filter, filter);
  }

  match(kind: number, topic: Topic, out: TopicFilter[]): void {
    this.#byKind.get(kind)?.match(topic, out);
  }
}

interface Held {
  tries: Tries;
  /** Takes the place of `tries` when it is complete. */
  next: Tries | undefined;
  ready: Promise<void>;
}

/**
 * The wildcard filters of the namespaces that were asked for, in memory. Read from Redis once, then every change of the
 * log is added. What nobody has any more stays for a while: it costs a look-up in vain, and leaves nobody out.
 */
export class Wildcards {
  readonly #read: ReadFilters;
  readonly #held = new Map<Namespace, Held>();

  constructor(read: ReadFilters) {
    this.#read = read;
  }

  /** How many filters are held, over all namespaces. */
  get size(): number {
    let size = 0;
    for (const { tries } of this.#held.values()) size += tries.size;
    return size;
  }

  /** Reads the namespace's filters where they are not held. @throws PushfleetError `unavailable` */
  async load(namespace: Namespace): Promise<void> {
    const held = this.#held.get(namespace);
    if (held !== undefined) return held.ready;
    const tries = new Tries();
    const ready = this.#fill(namespace, tries);
    this.#held.set(namespace, { tries, next: undefined, ready });
    ready.catch(() => {
      if (this.#held.get(namespace)?.tries === tries) this.#held.delete(namespace);
    });
    return ready;
  }

  /** To be called for every change of the log, before it is answered by. */
  note(namespace: Namespace, changes: readonly IndexChange[]): void {
    const held = this.#held.get(namespace);
    if (held === undefined) return;
    for (const change of changes) {
      if (change.kind === 'remove' || isExact(change.entry.filter) || !isMatched(change.entry)) continue;
      held.tries.add(change.entry.kind, change.entry.filter);
      held.next?.add(change.entry.kind, change.entry.filter);
    }
  }

  /** Adds the filters that match to `out`; the namespace is loaded. */
  match(namespace: Namespace, kind: SubscriptionKind, topic: Topic, out: TopicFilter[]): void {
    this.#held.get(namespace)?.tries.match(kind, topic, out);
  }

  /** Reads them anew where Redis has much fewer than are held. */
  compare(namespace: Namespace, count: number): void {
    const held = this.#held.get(namespace);
    if (held === undefined || held.next !== undefined || held.tries.size <= count * 1.25 + slack) return;
    const next = new Tries();
    held.next = next;
    this.#fill(namespace, next).then(
      () => {
        held.tries = next;
        held.next = undefined;
      },
      () => {
        held.next = undefined;
      },
    );
  }

  /** Forgets everything. */
  clear(): void {
    this.#held.clear();
  }

  async #fill(namespace: Namespace, into: Tries): Promise<void> {
    for (let after = ''; ; ) {
      const page = await this.#read(namespace, after, pageSize);
      for (const member of page) into.add(Number(member.charAt(0)), member.slice(1) as TopicFilter);
      const last = page.at(-1);
      if (last === undefined || page.length < pageSize) return;
      after = last;
    }
  }
}
