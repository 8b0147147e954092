import type { Topic, TopicFilter } from '@pushfleet/core';
import type {
  MatchAnswer,
  MatchQuestion,
  SubscriptionMatch,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { type Member, parseMember } from './encoding.ts';
import { merge, type Stream } from './merge.ts';
import { owedBy } from './owed.ts';
import { formatToken, type Position, parseToken } from './page-token.ts';

/** One publication while its receivers are looked up. */
export interface Search {
  readonly topic: Topic;
  /** The exact one first; found when the namespace's wildcard filters are known. */
  filters: readonly TopicFilter[];
  readonly limit: number;
  readonly owed: (startCursor: string) => boolean;
  position: Position | undefined;
  /**
   * Whether a subscription came to want order since the first page. It may stand before the position now without
   * having been given, so that those are looked for among those that want order once more.
   */
  turned: boolean;
  answer: MatchAnswer | undefined;
}

export interface Answered {
  readonly revision: number;
  /** The revision with which a subscription of the namespace last came to want order. */
  readonly turned: number;
  /** The pages of the first questions, as many as fitted the budget. */
  readonly pages: readonly (readonly string[])[];
}

export const searchFor = ({ topic, cursor, pageToken }: MatchQuestion, limit: number): Search => ({
  topic: topic as Topic,
  filters: [],
  limit,
  owed: owedBy(cursor),
  position: parseToken(pageToken),
  turned: false,
  answer: undefined,
});

interface Range {
  readonly low: string;
  readonly high: string;
}

/** What of each filter's members is asked for. */
function rangesOf({ position, turned }: Search): readonly Range[] {
  if (position === undefined) return [{ low: '-', high: '+' }];
  const { region, id } = position;
  const behind = (where: string) => (id === '' ? `[${where}` : `(${where}${id}!`);
  if (!turned) return [{ low: behind(region), high: '+' }];
  if (region === '0') return [{ low: behind('0'), high: '(1' }];
  return [
    { low: behind('1'), high: '+' },
    { low: behind('0'), high: '(1' },
  ];
}

/** A page of many filters has a share of each: mostly few of them have many members. */
const least = 8;
const perFilter = ({ limit, filters }: Search): number =>
  Math.min(limit, Math.max(least, Math.ceil((2 * limit) / filters.length)));

/** The arguments of the script for one search. */
export function questionArguments(search: Search): (string | number)[] {
  const { filters } = search;
  const count = perFilter(search);
  return rangesOf(search).flatMap(({ low, high }) => [low, high, count, filters.length, ...filters]);
}

/** How many pages the script answers with. */
export const pagesOf = (search: Search): number => rangesOf(search).length * search.filters.length;

/**
 * Takes in the pages of one search. Without an answer then, all of the page was left out and the position is behind it:
 * ask again.
 */
export function takePages(search: Search, { revision, turned, pages }: Answered, now: number): void {
  const before = search.position;
  if (before !== undefined && turned > before.revision && !search.turned) {
    search.turned = true;
    return;
  }
  const begun = before?.revision ?? revision;
  const { members, next } = merge(streamsOf(search, pages, begun), search.limit);
  const matches = members.map(parseMember).filter((member) => isDue(member, search, now));
  search.position = positionBehind(search, next, begun);
  if (matches.length > 0 || search.position === undefined)
    search.answer = answerOf(search, matches.map(matchOf));
}

function streamsOf(search: Search, pages: readonly (readonly string[])[], begun: number): readonly Stream[] {
  const count = perFilter(search);
  const streams = pages.map((members) => ({ members, more: members.length === count }));
  if (!search.turned || search.position?.region !== '1') return streams;
  const { length } = search.filters;
  return streams.map((stream, index) => (index < length ? stream : lateComers(stream, begun)));
}

/** Those that want order since `begun`, at the place they had before. */
function lateComers({ members, more }: Stream, begun: number): Stream {
  const moved = members.map((member) => `1${member.slice(1)}`);
  const last = moved.at(-1);
  // The last stays, whatever it is, to say up to where the page goes.
  const kept = moved.filter((member) => (more && member === last) || parseMember(member).since > begun);
  return { members: kept, more };
}

function positionBehind(search: Search, next: string | undefined, revision: number): Position | undefined {
  if (next !== undefined) return { region: next.startsWith('0') ? '0' : '1', id: next.slice(1), revision };
  const ended = search.turned && search.position?.region === '0';
  return ended ? { region: '1', id: '', revision } : undefined;
}

/** Whether it is owed the publication: it has not ended, and started before. */
function isDue({ expiresAt, since, startCursor, ordered }: Member, search: Search, now: number): boolean {
  if (expiresAt !== 0 && expiresAt <= now) return false;
  if (search.turned && ordered && search.position?.region === '1' && since <= search.position.revision)
    return false;
  return search.owed(startCursor);
}

const matchOf = ({ id, ordered, selection }: Member): SubscriptionMatch => ({ id, ordered, selection });

function answerOf({ position }: Search, matches: SubscriptionMatch[]): MatchAnswer {
  return { matches, nextPageToken: position === undefined ? '' : formatToken(position) };
}

/** An answer without matches that says to go on where the search is. */
export function cutShort(search: Search, revision: number): MatchAnswer {
  search.position ??= { region: '0', id: '', revision };
  return answerOf(search, []);
}
