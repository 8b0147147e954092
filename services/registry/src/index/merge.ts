/** A page of one filter's members in the order of their keys, and whether there may be more behind it. */
export interface Stream {
  readonly members: readonly string[];
  readonly more: boolean;
}

export interface Merged {
  readonly members: readonly string[];
  /** The key behind which to go on; undefined: this is all. */
  readonly next: string | undefined;
}

/** Region and id. */
const keyOf = (member: string): string => member.slice(0, member.indexOf(' '));

/**
 * One page of the members of several filters, at most `limit`, in the order of their keys: the place of a subscription
 * is the same whichever filter it has, so that one that moves while pages are read is neither left out nor given twice.
 */
export function merge(streams: readonly Stream[], limit: number): Merged {
  const [only] = streams;
  if (streams.length === 1 && only !== undefined && only.members.length <= limit) {
    return { members: only.members, next: only.more ? lastKey(only.members) : undefined };
  }
  // Behind the last member of a page that has more, others of its filter may come first.
  const ends = streams.flatMap(({ members, more }) => (more ? [lastKey(members) as string] : []));
  const end = ends.reduce<string | undefined>(
    (least, key) => (least === undefined || key < least ? key : least),
    undefined,
  );
  const sorted = streams
    .flatMap(({ members }) => members)
    .filter((member) => end === undefined || keyOf(member) <= end)
    .sort((a, b) => (a < b ? -1 : 1));
  if (sorted.length <= limit) return { members: sorted, next: end };
  const members = sorted.slice(0, limit);
  return { members, next: lastKey(members) };
}

const lastKey = (members: readonly string[]): string | undefined => {
  const last = members.at(-1);
  return last === undefined ? undefined : keyOf(last);
};
