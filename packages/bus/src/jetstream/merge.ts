import type { StoredMessage } from './api.ts';

/** What gives messages in rising order of their sequences. */
export interface Pages {
  next(): Promise<readonly StoredMessage[] | undefined>;
}

interface Head {
  readonly pages: Pages;
  page: readonly StoredMessage[];
  index: number;
  done: boolean;
}

/** Several supplies as one: in rising order, each sequence once however many of them hold it. */
export async function* mergeBySequence(supplies: readonly Pages[]): AsyncIterable<readonly StoredMessage[]> {
  const heads: Head[] = supplies.map((pages) => ({ pages, page: [], index: 0, done: false }));
  for (;;) {
    await Promise.all(heads.filter(({ page, index, done }) => !done && index >= page.length).map(refill));
    const open = heads.filter(({ done }) => !done);
    if (open.length === 0) return;
    yield open.length === 1 ? rest(open[0] as Head) : untilOneIsEmpty(open);
  }
}

async function refill(head: Head): Promise<void> {
  const page = await head.pages.next();
  head.page = page ?? [];
  head.index = 0;
  head.done = page === undefined;
}

function rest(head: Head): readonly StoredMessage[] {
  const page = head.index === 0 ? head.page : head.page.slice(head.index);
  head.index = head.page.length;
  return page;
}

/** Behind the first supply that runs dry nothing is known to be the next. */
function untilOneIsEmpty(heads: readonly Head[]): StoredMessage[] {
  const merged: StoredMessage[] = [];
  while (heads.every(({ page, index }) => index < page.length)) {
    const lowest = Math.min(...heads.map(sequenceOf));
    const holders = heads.filter((head) => sequenceOf(head) === lowest);
    merged.push(holders[0]?.page[holders[0].index] as StoredMessage);
    for (const holder of holders) holder.index++;
  }
  return merged;
}

const sequenceOf = ({ page, index }: Head): number => page[index]?.sequence ?? Number.POSITIVE_INFINITY;
