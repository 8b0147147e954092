import { parseTopicFilter } from '@pushfleet/core';
import type { Command } from 'commander';
import { follow, type TailEvent, textOf } from '../event-stream.ts';
import { frontUrl } from '../local-fleet.ts';
import { mint } from '../mint.ts';
import { type CommonOptions, command, parseCount, parseFront } from './options.ts';

interface TailOptions extends CommonOptions {
  readonly after?: string;
  readonly retained: boolean;
  readonly count?: number;
  readonly ns?: string;
  readonly url?: string;
}

const examples = `
Comes back by itself after a cut and resumes where it was, so nothing is missed. A gap is told on standard error.

Examples:
  npx pushfleet tail 'demo/#'
  npx pushfleet tail 'orders/+' alarms --json --count 10`;

export function tailCommand(): Command {
  return command('tail', 'Print what is published, as it comes, over server-sent events.')
    .argument('<filters...>', "topic filters such as 'orders/#'")
    .option('--after <cursor>', 'begin behind this place (absent: now)')
    .option('--retained', 'begin with the retained publications', false)
    .option('--count <n>', 'end after so many publications', parseCount)
    .option('--ns <namespace>', 'the namespace of the token that is made (absent: default)')
    .option('--url <url>', 'the front of another fleet (absent: the local fleet)', parseFront)
    .addHelpText('after', examples)
    .action(tail);
}

async function tail(filters: string[], o: TailOptions): Promise<void> {
  // A filter that is none would else be told as a fault of the token made for it.
  for (const filter of filters) parseTopicFilter(filter);
  const front = o.url ?? frontUrl(o.state);
  const url = new URL('/sse', front);
  for (const filter of filters) url.searchParams.append('topic', filter);
  url.searchParams.set('format', 'cloudevents');
  if (o.retained) url.searchParams.set('retained', '1');
  const claims = { sub: 'pushfleet-cli', ns: o.ns, subscribe: filters };
  const given = process.env.PUSHFLEET_TOKEN;
  const token = async (): Promise<string> => given || (await mint(o.state, claims, 3_600)).token;
  let left = o.count ?? Number.POSITIVE_INFINITY;
  for await (const event of follow({ url, token, after: o.after })) {
    report(event, o.json);
    if (event.kind === 'publication' && --left === 0) return;
  }
}

function report(event: TailEvent, json: boolean): void {
  if (event.kind === 'publication') {
    console.log(json ? event.json : `${event.value.subject}  ${textOf(event.value)}`);
  } else if (event.kind === 'gap') {
    console.error(`Some publications can no longer be given (between ${event.from} and ${event.to}).`);
  } else {
    console.error(event.text);
  }
}
