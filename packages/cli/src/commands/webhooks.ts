import { Command, Option } from 'commander';
import { askAs, type FrontOptions, frontCommand, parseSince } from './front-command.ts';
import { parseCount, parseSeconds } from './options.ts';
import { createWebhookCommand } from './webhook-create.ts';
import {
  type Attempt,
  keyOf,
  type Letter,
  lineOf,
  lineOfAttempt,
  lineOfLetter,
  pageOf,
  show,
  type Webhook,
} from './webhook-lines.ts';

const examples = `
Examples:
  npx pushfleet webhooks create 'orders/#' https://shop.example.com/hooks
  npx pushfleet webhooks list
  npx pushfleet webhooks test sub_8hXn2
  npx pushfleet webhooks replay sub_8hXn2 --since 1h`;

const path = '/v1/subscriptions';

/** `pushfleet webhooks …`: subscriptions whose receivers are called. */
export function webhooksCommand(): Command {
  const group = new Command('webhooks')
    .description('Have publications posted to URLs, and look after it.')
    .addHelpText('after', examples);
  for (const make of [
    createWebhookCommand,
    listCommand,
    showCommand,
    () => act('pause', 'Keep what is published until it is resumed.', 'paused'),
    resumeCommand,
    rotateCommand,
    testCommand,
    attemptsCommand,
    deadCommand,
    replayCommand,
    deleteCommand,
  ]) {
    group.addCommand(make());
  }
  return group;
}

function listCommand(): Command {
  return frontCommand('list', 'List webhooks.')
    .option('--filter <filter>', 'only those with exactly this filter')
    .addOption(
      new Option('--in <state>', 'only those in this state').choices([
        'pending',
        'active',
        'paused',
        'suspended',
      ]),
    )
    .action(async (o: FrontOptions & { readonly filter?: string; readonly in?: string }) => {
      const query = { limit: '1000', ...(o.filter && { filter: o.filter }), ...(o.in && { state: o.in }) };
      for await (const webhook of pageOf<Webhook>('subscriptions', 'after', (more) =>
        ask(o, 'GET', '', { ...query, ...more }),
      )) {
        print(webhook, o, lineOf(webhook));
      }
    });
}

function showCommand(): Command {
  return one('show', 'Show a webhook, and how it is doing.').action(async (id: string, o: FrontOptions) => {
    const webhook = (await ask(o, 'GET', id)) as Webhook;
    print(webhook, o, show(webhook));
  });
}

function resumeCommand(): Command {
  return one('resume', 'Deliver again.')
    .option('--from <place>', 'after a suspension: "suspension" (what was missed), "now", or a cursor')
    .action(async (id: string, o: FrontOptions & { readonly from?: string }) => {
      const webhook = (await ask(o, 'POST', `${id}/resume`, {}, { from: o.from })) as Webhook;
      print(webhook, o, `resumed: ${lineOf(webhook)}`);
    });
}

function rotateCommand(): Command {
  return one('rotate', 'Sign with a new secret; prints it, once.')
    .option('--overlap <time>', 'the old one signs too for: 90s, 15m, 1h, 7d (absent: 1d)', parseSeconds)
    .addOption(new Option('--signing <signing>', 'another way of signing').choices(['hmac', 'ed25519']))
    .action(
      async (id: string, o: FrontOptions & { readonly overlap?: number; readonly signing?: string }) => {
        const body = { overlap: o.overlap, signing: o.signing };
        const webhook = (await ask(o, 'POST', `${id}/rotate-secret`, {}, body)) as Webhook;
        print(webhook, o, `rotated: ${webhook.id}${keyOf(webhook)}`);
      },
    );
}

function testCommand(): Command {
  return one('test', 'Call the receiver once, and tell what came of it.').action(
    async (id: string, o: FrontOptions) => {
      const attempt = (await ask(o, 'POST', `${id}/test`)) as Attempt | undefined;
      if (attempt === undefined)
        console.log(o.json ? '{}' : 'It has not been called yet, and is called later.');
      else print(attempt, o, lineOfAttempt(attempt));
    },
  );
}

function attemptsCommand(): Command {
  return one('attempts', 'List the calls to the receiver, newest first.')
    .option('--limit <n>', 'end after so many', parseCount)
    .action((id: string, o: ListOptions) => list<Attempt>(id, 'attempts', 'attempts', o, lineOfAttempt));
}

function deadCommand(): Command {
  return one('dead', 'List the deliveries that were given up, or deliver them again.')
    .option('--limit <n>', 'end after so many', parseCount)
    .option('--redeliver <letter>', 'deliver this one again, or "all"')
    .action(async (id: string, o: ListOptions & { readonly redeliver?: string }) => {
      const { redeliver } = o;
      if (redeliver === undefined) return list<Letter>(id, 'dead-letters', 'deadLetters', o, lineOfLetter);
      const which = redeliver === 'all' ? '' : `/${encodeURIComponent(redeliver)}`;
      await ask(o, 'POST', `${id}/dead-letters${which}/redeliver`);
      print({ redelivered: redeliver }, o, `delivered again: ${redeliver}`);
    });
}

function replayCommand(): Command {
  return one('replay', 'Deliver what was published before, again.')
    .option('--after <cursor>', 'begin behind this place')
    .option('--since <time>', 'begin at this time: 2026-01-31T12:00:00Z, or how long ago: 15m', parseSince)
    .option('--until <cursor>', 'end with this place (absent: now)')
    .action(
      async (
        id: string,
        o: FrontOptions & Record<'after' | 'since' | 'until', string | undefined>,
        self: Command,
      ) => {
        if ((o.after === undefined) === (o.since === undefined))
          self.error('Say where to begin: --after or --since.');
        const { after, since, until } = o;
        await ask(o, 'POST', `${id}/replay`, {}, { after, since, until });
        print({ replayed: id }, o, `replayed: ${id}`);
      },
    );
}

function deleteCommand(): Command {
  return one('delete', 'End a webhook, and what waits for it.').action(
    async (id: string, o: FrontOptions) => {
      await ask(o, 'DELETE', id);
      print({ deleted: id }, o, `deleted: ${id}`);
    },
  );
}

function act(name: string, description: string, done: string): Command {
  return one(name, description).action(async (id: string, o: FrontOptions) => {
    const webhook = (await ask(o, 'POST', `${id}/${name}`)) as Webhook;
    print(webhook, o, `${done}: ${lineOf(webhook)}`);
  });
}

interface ListOptions extends FrontOptions {
  readonly limit?: number;
}

async function list<T extends object>(
  id: string,
  below: string,
  name: string,
  o: ListOptions,
  line: (item: T) => string,
): Promise<void> {
  let left = o.limit ?? Number.POSITIVE_INFINITY;
  const query = { limit: String(Math.min(left, 1_000)) };
  for await (const item of pageOf<T>(name, 'before', (more) =>
    ask(o, 'GET', `${id}/${below}`, { ...query, ...more }),
  )) {
    if (left-- <= 0) return;
    print(item, o, line(item));
  }
}

const one = (name: string, description: string): Command =>
  frontCommand(name, description).argument('<id>', 'the id of the webhook');

const print = (value: object, { json }: FrontOptions, line: string): void =>
  console.log(json ? JSON.stringify(value) : line);

/** Which filter a webhook has is not known here: a token made for it covers all, the fleet's own topics included. */
const everything = ['#', '$hooks/#'];

function ask(
  o: FrontOptions,
  method: 'GET' | 'POST' | 'DELETE',
  below: string,
  query: Readonly<Record<string, string>> = {},
  body?: object,
): Promise<unknown> {
  const target = below === '' ? path : `${path}/${below}`;
  const question = { method, path: `${target}?${new URLSearchParams(query)}`, ...(body && { body }) };
  return askAs(o, { subscribe: everything, manage: everything }, question);
}
