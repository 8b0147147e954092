import type { Namespace, Topic, TopicFilter } from '@pushfleet/core';
import type {
  MatchAnswer,
  MatchQuestion,
  SubscriptionKind,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Following } from './following.ts';
import { cutShort, pagesOf, questionArguments, type Search, searchFor, takePages } from './matching.ts';
import type { Reader } from './reader.ts';
import { matchScript } from './scripts.ts';
import type { Wildcards } from './wildcards.ts';

export interface MatcherOptions {
  readonly following: Pick<Following, 'current' | 'latest'>;
  readonly wildcards: Wildcards;
  readonly reader: Reader;
  readonly now: () => number;
}

/** Of all answers together. */
const mostMatches = 100_000;
const mostBytes = 16_777_216;
/** Of one script: Redis does nothing else while it runs, a few milliseconds for so many. */
const scriptMembers = 10_000;

/** What may still be read for one call. */
interface Budget {
  members: number;
  bytes: number;
}

/** Looks up who is owed publications, in one round trip for each namespace where the answers are short. */
export class Matcher {
  readonly #o: MatcherOptions;

  constructor(options: MatcherOptions) {
    this.#o = options;
  }

  /** As SubscriptionIndex.match. */
  async match(
    kind: SubscriptionKind,
    questions: readonly MatchQuestion[],
    pageSize: number,
  ): Promise<readonly MatchAnswer[]> {
    const searches = questions.map((question) => searchFor(question, pageSize));
    await this.#o.following.current();
    const budget = { members: mostMatches, bytes: mostBytes };
    const groups = Map.groupBy(
      searches,
      (_, index) => (questions[index] as MatchQuestion).namespace as Namespace,
    );
    await Promise.all([...groups].map(([namespace, own]) => this.#search(namespace, kind, own, budget)));
    return searches.map(({ answer }) => answer as MatchAnswer);
  }

  async #search(
    namespace: Namespace,
    kind: SubscriptionKind,
    searches: readonly Search[],
    budget: Budget,
  ): Promise<void> {
    const { following, wildcards } = this.#o;
    const latest = following.latest(namespace);
    if (latest === undefined) {
      for (const search of searches) search.answer = { matches: [], nextPageToken: '' };
      return;
    }
    await wildcards.load(namespace);
    for (const search of searches) {
      const found: TopicFilter[] = [exactFilter(search.topic)];
      wildcards.match(namespace, kind, search.topic, found);
      search.filters = found;
    }
    await this.#readAll(namespace, kind, searches, budget);
    for (const search of searches) search.answer ??= cutShort(search, latest);
  }

  async #readAll(
    namespace: Namespace,
    kind: SubscriptionKind,
    searches: readonly Search[],
    budget: Budget,
  ): Promise<void> {
    let open = searches;
    for (let span = open.length; open.length > 0 && budget.members > 0 && budget.bytes > 0; ) {
      const read = await this.#read(namespace, kind, open.slice(0, span), budget);
      open = open.filter(({ answer }) => answer === undefined);
      // What a budget cuts off is not sent again and again.
      span = Math.max(2 * read, 1);
    }
  }

  /** Returns how many of the searches there were pages for. */
  async #read(
    namespace: Namespace,
    kind: SubscriptionKind,
    searches: readonly Search[],
    budget: Budget,
  ): Promise<number> {
    const most = Math.min(scriptMembers, budget.members);
    const args = [kind, most, ...searches.flatMap(questionArguments)];
    const reply = await this.#o.reader.ask(matchScript, namespace, ...args);
    const [mark, , turned, wildcards, ...pages] = reply as unknown as [
      string,
      string,
      string,
      number,
      ...string[][],
    ];
    this.#o.wildcards.compare(namespace, wildcards);
    for (const page of pages) {
      budget.members -= page.length;
      for (const { length } of page) budget.bytes -= length;
    }
    const now = this.#o.now();
    let from = 0;
    let read = 0;
    for (const search of searches) {
      if (from === pages.length) break;
      const own = pages.slice(from, from + pagesOf(search));
      from += own.length;
      takePages(search, { revision: Number(mark), turned: Number(turned), pages: own }, now);
      read++;
    }
    return read;
  }
}

/** A topic is the filter that matches it alone. */
const exactFilter = (topic: Topic): TopicFilter => topic as string as TopicFilter;
