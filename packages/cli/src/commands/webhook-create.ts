import { parseTopicFilter } from '@pushfleet/core';
import { type Command, Option } from 'commander';
import { askAs, type FrontOptions, frontCommand } from './front-command.ts';
import { parseCount, parseSeconds, repeated } from './options.ts';
import { keyOf, lineOf, type Webhook } from './webhook-lines.ts';

interface CreateOptions extends FrontOptions {
  readonly type?: readonly string[];
  readonly header?: readonly string[];
  readonly lease?: number;
  readonly rate?: number;
  readonly concurrency?: number;
  readonly timeout?: number;
  readonly ordered?: true;
}

export function createWebhookCommand(): Command {
  return frontCommand('create', 'Have what is published posted to a URL; prints the secret, once.')
    .argument('<filter>', "a topic filter such as 'orders/#'")
    .argument('<url>', 'where to post')
    .option('--id <id>', 'its name (absent: one is chosen)')
    .addOption(
      new Option('--format <format>', 'what is posted').choices(['binary', 'structured', 'verbatim']),
    )
    .option('--type <type>', 'only this type; may be repeated', repeated)
    .option('--expression <cel>', 'only where this is true, such as attributes.region == "eu"')
    .option('--header <name: value>', 'sent with every delivery; may be repeated', repeated)
    .option('--rate <n>', 'most deliveries a second', parseCount)
    .option('--concurrency <n>', 'most deliveries at the same time', parseCount)
    .option('--ordered', 'one after the other, in the order of the log')
    .option('--timeout <time>', 'give an attempt up after: 10s', parseSeconds)
    .addOption(
      new Option('--handshake <handshake>', 'how the receiver confirms').choices([
        'echo',
        'cloudevents',
        'none',
      ]),
    )
    .addOption(new Option('--signing <signing>', 'how deliveries are signed').choices(['hmac', 'ed25519']))
    .option('--lease <time>', 'ends by itself after: 90s, 15m, 1h, 7d (absent: never)', parseSeconds)
    .option('--description <text>', 'what it is for')
    .action(create);
}

async function create(filter: string, url: string, o: CreateOptions, self: Command): Promise<void> {
  // A filter that is none would else be told as a fault of the token made for it.
  parseTopicFilter(filter);
  // Of the options all others are fields of the subscription; --url and --state say which fleet.
  const { type: types, header = [], ns: _ns, url: _front, json: _json, state: _state, ...settings } = o;
  const headers = Object.fromEntries(header.map((line) => headerOf(line, self)));
  const body = { ...settings, filter, url, types, ...(header.length > 0 && { headers }) };
  const made = (await askAs(
    o,
    { subscribe: [filter] },
    { method: 'POST', path: '/v1/subscriptions', body },
  )) as Webhook;
  console.log(o.json ? JSON.stringify(made) : `created: ${lineOf(made)}${keyOf(made)}`);
}

function headerOf(line: string, self: Command): readonly [string, string] {
  const [, name, value] = /^([^:\s]+):\s*(.+)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) self.error('A header is written as "Name: value".');
  return [name as string, value as string];
}
