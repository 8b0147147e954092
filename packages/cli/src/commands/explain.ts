import { parseTopicFilter } from '@pushfleet/core';
import type { Command } from 'commander';
import { askAs, type FrontOptions, frontCommand, parseSince } from './front-command.ts';

interface ExplainOptions extends FrontOptions {
  readonly topic: string;
  readonly since?: string;
  readonly cursor?: string;
}

/** What the fleet answers. */
interface Explanation {
  readonly search: {
    readonly scanned: number;
    readonly from: string;
    readonly to: string;
    readonly complete: boolean;
  };
  readonly publications: readonly Explained[];
}

interface Explained {
  readonly topic: string;
  readonly shard: number;
  readonly sequence: number;
  readonly time: string;
  readonly cursor: string;
  readonly retained: boolean;
  readonly expires: string | null;
  readonly bytes: number;
  readonly source: string;
  readonly type: string;
  readonly contentType: string;
  readonly receivers: readonly Receiver[];
}

/** What one instance of the fleet says; other kinds than `feeds` may come. */
interface Receiver {
  readonly kind: string;
  readonly instance: string;
  readonly service: string;
  readonly protocol?: string;
  readonly remembered: boolean;
  readonly filters: readonly { readonly filter: string; readonly feeds: number }[];
  readonly matched: number;
  readonly delivered: number;
  readonly pending: number;
  readonly dropped: number;
}

const examples = `
Examples:
  npx pushfleet explain order-42
  npx pushfleet explain order-42 --topic 'orders/#' --since 7d`;

export function explainCommand(): Command {
  return frontCommand(
    'explain',
    'Tell what became of a publication: where it is stored, and who was given it.',
  )
    .argument('<id>', "the publication's id")
    .option('--topic <filter>', 'where to look', '#')
    .option('--since <time>', 'how far back: 2026-01-31T12:00:00Z or how long ago (absent: 1h)', parseSince)
    .option('--cursor <cursor>', 'of its receipt; then --topic is its topic, and nothing is searched')
    .addHelpText('after', examples)
    .action(explain);
}

async function explain(id: string, o: ExplainOptions): Promise<void> {
  parseTopicFilter(o.topic);
  const query = new URLSearchParams({
    ...{ id, topic: o.topic },
    ...(o.since !== undefined && { since: o.since }),
    ...(o.cursor !== undefined && { cursor: o.cursor }),
  });
  const question = { method: 'GET', path: `/v1/explain?${query}` } as const;
  const answer = (await askAs(o, { manage: [o.topic] }, question)) as Explanation;
  const lines = [...answer.publications.flatMap(story), conclusion(id, o, answer)];
  console.log(o.json ? JSON.stringify(answer) : lines.join('\n'));
}

function story(one: Explained): string[] {
  const also = [
    ...(one.retained ? ['it is retained'] : []),
    ...(one.expires === null ? [] : [`it expires at ${one.expires}`]),
  ];
  return [
    `${one.topic}`,
    `  stored at ${one.time}, ${one.bytes} bytes of ${one.contentType}`,
    `  type ${one.type}, from ${one.source}`,
    `  shard ${one.shard}, sequence ${one.sequence}, cursor ${one.cursor}`,
    ...also.map((line) => `  ${line}`),
    ...receiversOf(one.receivers.filter(({ kind }) => kind === 'feeds')),
    '',
  ];
}

function receiversOf(receivers: readonly Receiver[]): string[] {
  if (receivers.length === 0) return ['  no instance with live subscribers answered'];
  const remembering = receivers.filter(({ remembered }) => remembered);
  const others = receivers.length - remembering.length;
  const forgot = `  ${others} ${others === 1 ? 'instance does' : 'instances do'} not remember it: too long ago, or nobody listened there`;
  return [...remembering.flatMap(receiverOf), ...(others === 0 ? [] : [forgot])];
}

function receiverOf(one: Receiver): string[] {
  const { matched, delivered, pending, dropped } = one;
  return [
    `  ${one.service} ${one.instance}: for ${matched} ${one.protocol ?? 'live'} ${matched === 1 ? 'feed' : 'feeds'}, ${delivered} given it, ${pending} waiting to read it, ${dropped} ended or passed it over`,
    ...one.filters.map(({ filter, feeds }) => `    ${filter} (${feeds})`),
  ];
}

function conclusion(id: string, { topic }: ExplainOptions, { search, publications }: Explanation): string {
  const { scanned, from, to, complete } = search;
  const where = `${scanned} publications of ${topic} from ${from} to ${to}`;
  if (!complete)
    return `Given up after ${where}. Name its topic (--topic), a later --since, or its --cursor to look at the rest.`;
  const none = `Nothing with the id ${JSON.stringify(id)} is stored`;
  return publications.length === 0
    ? `${none} among ${where}: it was never stored, was deleted, or has expired. Look further back with --since.`
    : `Found among ${where}.`;
}
