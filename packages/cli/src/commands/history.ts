import { parseTopicFilter } from '@pushfleet/core';
import type { Command } from 'commander';
import { type CloudEvent, textOf } from '../event-stream.ts';
import { parseExact } from '../front-api.ts';
import { askAs, type FrontOptions, frontCommand, parseSince } from './front-command.ts';
import { parseCount } from './options.ts';

interface HistoryOptions extends FrontOptions {
  readonly after?: string;
  readonly since?: string;
  readonly limit?: number;
}

/** A page, as the fleet answers it. */
interface Page {
  readonly publications: readonly CloudEvent[];
  readonly cursor: string;
  readonly more: boolean;
  readonly gap?: { readonly from: string; readonly to: string };
}

const examples = `
In the order of time, up to now; what is on standard error at the end is where to go on.

Examples:
  npx pushfleet history 'orders/#' --since 15m
  npx pushfleet history '#' --limit 1000 --json | jq .subject`;

export function historyCommand(): Command {
  return frontCommand('history', 'Print what was published and is still stored.')
    .argument('<filters...>', "topic filters such as 'orders/#'")
    .option('--after <cursor>', 'begin behind this place (absent: with the oldest)')
    .option('--since <time>', 'begin at this time: 2026-01-31T12:00:00Z, or how long ago: 15m', parseSince)
    .option('--limit <n>', 'end after so many publications', parseCount)
    .addHelpText('after', examples)
    .action(history);
}

async function history(filters: string[], o: HistoryOptions, self: Command): Promise<void> {
  if (o.after !== undefined && o.since !== undefined) self.error('Give --after or --since, not both.');
  // A filter that is none would else be told as a fault of the token made for it.
  for (const filter of filters) parseTopicFilter(filter);
  let left = o.limit ?? Number.POSITIVE_INFINITY;
  let page: Page | undefined;
  while (left > 0 && page?.more !== false) {
    const begin = page === undefined ? { after: o.after, since: o.since } : { after: page.cursor };
    page = await read(filters, o, { ...begin, limit: Math.min(left, 1_000) });
    left -= page.publications.length;
    print(page, o.json);
  }
  if (page !== undefined) console.error(`To go on: --after ${page.cursor}`);
}

async function read(filters: readonly string[], o: HistoryOptions, more: object): Promise<Page> {
  const query = new URLSearchParams(filters.map((filter): [string, string] => ['topic', filter]));
  for (const [name, value] of Object.entries(more)) if (value !== undefined) query.set(name, String(value));
  const question = { method: 'GET', path: `/v1/history?${query}`, parse: parseExact } as const;
  return (await askAs(o, { subscribe: filters }, question)) as Page;
}

function print({ publications, gap }: Page, json: boolean): void {
  if (gap !== undefined) {
    console.error(`Some publications can no longer be given (between ${gap.from} and ${gap.to}).`);
  }
  for (const event of publications) {
    console.log(json ? JSON.stringify(event) : `${event.time}  ${event.subject}  ${textOf(event)}`);
  }
}
