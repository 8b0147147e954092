import type { StoredMessage } from './api.ts';

/** First width of a window, for each message wanted. */
const widthEach = 4;

/**
 * Reads a subject backwards though the broker only reads forwards: in windows that double while they hold little,
 * and halve where one holds more than is wanted.
 *
 * @param first nothing of the subject lies before it
 * @param end where reading begins, included
 * @param read the oldest messages from `from` up to and including `until`, at most `most`
 * @returns the newest first, at most `limit`
 */
export async function readBackwards(
  first: number,
  end: number,
  limit: number,
  read: (from: number, until: number, most: number) => Promise<readonly StoredMessage[]>,
): Promise<StoredMessage[]> {
  const found: StoredMessage[] = [];
  let until = end;
  let width = limit * widthEach;
  while (found.length < limit && until >= first) {
    const from = Math.max(first, until - width + 1);
    const most = Math.max(limit, smallestRead);
    // One more than is taken tells whether the window holds more.
    const window = await read(from, until, most + 1);
    if (window.length > most) {
      width = Math.ceil((until - from + 1) / 2);
    } else {
      found.push(...window.toReversed().slice(0, limit - found.length));
      until = from - 1;
      width *= 2;
    }
  }
  return found;
}

/** Reading fewer at once saves nothing. */
const smallestRead = 64;
