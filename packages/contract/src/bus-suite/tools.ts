import {
  type Bus,
  type Cursor,
  type Draft,
  type Item,
  type Publication,
  PushfleetError,
  type Stored,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';

export const utf8 = new TextEncoder();
let drafts = 0;

/** A draft with an id of its own. */
export function draftOf(topic: string, more: Partial<Draft> = {}): Draft {
  drafts++;
  return {
    id: `id-${drafts}`,
    source: 'suite',
    topic: topic as Topic,
    contentType: 'text/plain',
    payload: utf8.encode(`payload ${drafts}`),
    ...more,
  };
}

/** Publishes one draft that must be stored. */
export async function store(bus: Bus, draft: Draft): Promise<Stored> {
  const [answer] = await bus.publish([draft]);
  if (answer === undefined || answer instanceof PushfleetError) throw answer ?? new Error('no answer');
  return answer;
}

/** What a following handed over. */
export class Seen {
  readonly publications: Publication[] = [];
  readonly gaps: Item<Publication>[] = [];

  readonly on = (item: Item<Publication>): void => {
    if (item.kind === 'gap') this.gaps.push(item);
    else this.publications.push(item.value);
  };

  get ids(): string[] {
    return this.publications.map(({ id }) => id);
  }

  ofTopic(topic: string): string[] {
    return this.publications.filter((publication) => publication.topic === topic).map(({ id }) => id);
  }
}

/** Everything of a replay, gaps apart. */
export async function replayed(
  bus: Bus,
  filters: readonly string[],
  after: Cursor | undefined,
  end: Cursor,
): Promise<Pick<Seen, 'publications' | 'gaps'>> {
  const seen = new Seen();
  for await (const items of bus.replay(filters as TopicFilter[], after, end, new AbortController().signal)) {
    for (const item of items) seen.on(item);
  }
  return seen;
}

/** A filter the test knows to be legal. */
export const filter = (text: string): TopicFilter => text as TopicFilter;

/** Every retained publication that matches. */
export async function allRetained(bus: Bus, text: string): Promise<Publication[]> {
  const found: Publication[] = [];
  for await (const page of bus.retained(filter(text), new AbortController().signal)) found.push(...page);
  return found;
}
