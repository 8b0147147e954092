import {
  type Deletion,
  type Namespace,
  parseNamespace,
  parseTopic,
  parseTopicFilter,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import type { Fleet, Instance } from './fleet.ts';

/** What a process's hubs know; the packages know nothing of each other. */
export interface HubKnowledge {
  feedsOn(namespace: Namespace, topic: Topic): number;
  explain(namespace: Namespace, at: { readonly shard: number; readonly sequence: number }): HubExplanation;
  forget(namespace: Namespace, deletion: Deletion): void;
}

/** What became of a live publication in one instance. */
export interface HubExplanation {
  /** Whether it is among the recent ones; where not, the rest says nothing. */
  readonly remembered: boolean;
  /** The filters that matched, those with the most feeds first, at most 20. */
  readonly filters: readonly { readonly filter: TopicFilter; readonly feeds: number }[];
  /** Feeds it was offered to, and what they did with it. */
  readonly matched: number;
  readonly delivered: number;
  readonly pending: number;
  readonly dropped: number;
}

/** Where a publication is stored. */
export interface StoredAt {
  readonly topic: Topic;
  readonly shard: number;
  readonly sequence: number;
}

/** Most filters of one explanation: with the longest names they stay under the 64 KiB of a signal. */
const mostFilters = 20;

/** Answers the fleet's questions to the hubs of this process. What is asked wrongly is not answered. */
export function answerForHubs(fleet: Pick<Fleet, 'answer'>, hubs: HubKnowledge): void {
  const answer = (name: string, on: (question: Fields) => unknown) =>
    fleet.answer(name, (question) => (isFields(question) ? unlessWrong(() => on(question)) : undefined));
  answer('deleted', ({ namespace, deletion }) => {
    hubs.forget(parseNamespace(text(namespace)), deletionOf(deletion));
    return { forgotten: true };
  });
  answer('feeds', ({ namespace, topic }) => ({
    feeds: hubs.feedsOn(parseNamespace(text(namespace)), parseTopic(text(topic))),
  }));
  answer('explain', ({ namespace, shard, sequence }) => {
    const at = { shard: count(shard), sequence: count(sequence) };
    const explanation = hubs.explain(parseNamespace(text(namespace)), at);
    const filters = explanation.filters.toSorted((one, other) => other.feeds - one.feeds);
    return { ...explanation, filters: filters.slice(0, mostFilters) };
  });
}

/** Asks every hub of the fleet to give what was deleted to nobody any more; waits for the answers, for 1 s at most. */
export async function forgetEverywhere(
  fleet: Pick<Fleet, 'ask'>,
  namespace: Namespace,
  deletion: Deletion,
): Promise<void> {
  await fleet.ask('deleted', { namespace, deletion });
}

/** How many feeds match the topic at this moment, by protocol, over the whole fleet. */
export async function feedsEverywhere(
  fleet: Pick<Fleet, 'ask'>,
  namespace: Namespace,
  topic: Topic,
): Promise<Readonly<Record<string, number>>> {
  const sums = new Map<string, number>();
  for (const { from, answer } of await fleet.ask<unknown>('feeds', { namespace, topic })) {
    const feeds = unlessWrong(() => count(fields(answer).feeds));
    const protocol = from.protocol ?? from.service;
    if (feeds !== undefined) sums.set(protocol, (sums.get(protocol) ?? 0) + feeds);
  }
  return Object.fromEntries([...sums].toSorted());
}

/** What became of a publication in every instance that answers. */
export async function explainEverywhere(
  fleet: Pick<Fleet, 'ask'>,
  namespace: Namespace,
  { topic, shard, sequence }: StoredAt,
): Promise<readonly { readonly from: Instance; readonly explanation: HubExplanation }[]> {
  const answers = await fleet.ask<unknown>('explain', { namespace, topic, shard, sequence });
  return answers.flatMap(({ from, answer }) => {
    const explanation = unlessWrong(() => explanationOf(fields(answer)));
    return explanation === undefined ? [] : [{ from, explanation }];
  });
}

function explanationOf({
  remembered,
  filters,
  matched,
  delivered,
  pending,
  dropped,
}: Fields): HubExplanation {
  if (typeof remembered !== 'boolean' || !Array.isArray(filters) || filters.length > mostFilters)
    throw wrong();
  return {
    remembered,
    filters: filters.map((entry: unknown) => {
      const { filter, feeds } = fields(entry);
      return { filter: parseTopicFilter(text(filter)), feeds: count(feeds) };
    }),
    matched: count(matched),
    delivered: count(delivered),
    pending: count(pending),
    dropped: count(dropped),
  };
}

function deletionOf(value: unknown): Deletion {
  const { topic, shard, first, last, count: deleted } = fields(value);
  return {
    topic: parseTopic(text(topic)),
    shard: count(shard),
    first: count(first),
    last: count(last),
    count: count(deleted),
  };
}

type Fields = Readonly<Record<string, unknown>>;

const wrong = () => new TypeError('not of the form agreed');

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function fields(value: unknown): Fields {
  if (!isFields(value)) throw wrong();
  return value;
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw wrong();
  return value;
}

function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw wrong();
  return value as number;
}

// Other instances may run another version, and whoever reaches the broker may send anything.
function unlessWrong<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
