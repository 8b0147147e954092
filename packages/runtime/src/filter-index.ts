import { isReserved, type Topic, type TopicFilter } from '@pushfleet/core';

/** No filter matches. */
export const noRank = Number.POSITIVE_INFINITY;

interface Branch {
  readonly children: Map<string, Branch>;
  plus: Branch | undefined;
  /** The least rank of the filters that end here. */
  rank: number;
  /** The least rank of those that go on with `#` and end. */
  below: number;
}

const branch = (): Branch => ({ children: new Map(), plus: undefined, rank: noRank, below: noRank });

/** Ranked filters, made to find the least rank that matches a topic: it looks at that topic's levels, not at all filters. */
export class FilterIndex {
  readonly #root = branch();

  add(filter: TopicFilter, rank: number): void {
    const levels = filter.split('/');
    const ends = levels[levels.length - 1] === '#';
    if (ends) levels.pop();
    let at = this.#root;
    for (const level of levels) at = grow(at, level);
    if (ends) at.below = Math.min(at.below, rank);
    else at.rank = Math.min(at.rank, rank);
  }

  /** The least rank of the filters that match, as core's `matches` says; `noRank` where none does. */
  first(topic: Topic): number {
    // No wildcard of the first level reaches a topic of the fleet's own ([MQTT-4.7.2-1]).
    if (!isReserved(topic)) return first(this.#root, topic, 0);
    const end = endOfLevel(topic, 0);
    const own = this.#root.children.get(topic.slice(0, end));
    return own === undefined ? noRank : first(own, topic, end + 1);
  }
}

function grow(at: Branch, level: string): Branch {
  const known = level === '+' ? at.plus : at.children.get(level);
  if (known !== undefined) return known;
  const fresh = branch();
  if (level === '+') at.plus = fresh;
  else at.children.set(level, fresh);
  return fresh;
}

function endOfLevel(topic: string, from: number): number {
  const end = topic.indexOf('/', from);
  return end === -1 ? topic.length : end;
}

/** `from` is where the next level begins: one beyond the topic's end where none is left. */
function first(at: Branch, topic: string, from: number): number {
  if (from > topic.length) return Math.min(at.rank, at.below);
  const end = endOfLevel(topic, from);
  const child = at.children.get(topic.slice(from, end));
  const named = child === undefined ? noRank : first(child, topic, end + 1);
  const any = at.plus === undefined ? noRank : first(at.plus, topic, end + 1);
  return Math.min(at.below, named, any);
}
