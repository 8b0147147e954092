import { createInterface } from 'node:readline/promises';
import { parseTopic } from '@pushfleet/core';
import type { Command } from 'commander';
import { askAs, type FrontOptions, frontCommand } from './front-command.ts';

interface DeleteOptions extends FrontOptions {
  readonly cursor?: string;
  readonly yes: boolean;
}

const examples = `
What is on its way to subscribers may still arrive. Nobody who resumes later is told of a gap for it.

Examples:
  npx pushfleet delete orders/42 --yes
  npx pushfleet delete orders/42 --cursor g1-mh2k9x3c-4a`;

export function deleteCommand(): Command {
  return frontCommand('delete', 'Delete what is stored on a topic, its retained publication included.')
    .argument('<topic>', 'one topic, without wildcards')
    .option('--cursor <cursor>', 'only the one publication that this cursor was received with')
    .option('--yes', 'do not ask first', false)
    .addHelpText('after', examples)
    .action(deleteTopic);
}

async function deleteTopic(topic: string, o: DeleteOptions, self: Command): Promise<void> {
  // A topic that is none would else be told as a fault of the token made for it.
  parseTopic(topic);
  if (o.cursor === undefined && !o.yes && !(await confirmed(topic, self))) return;
  const query = new URLSearchParams({ topic, ...(o.cursor !== undefined && { cursor: o.cursor }) });
  const question = { method: 'DELETE', path: `/v1/topics?${query}` } as const;
  const answer = (await askAs(o, { manage: [topic] }, question)) as { deleted: number };
  console.log(o.json ? JSON.stringify(answer) : `deleted: ${answer.deleted} of ${topic}`);
}

async function confirmed(topic: string, self: Command): Promise<boolean> {
  if (!process.stdin.isTTY) self.error(`Nobody is there to ask: say --yes to delete all of ${topic}.`);
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await asking.question(
    `Delete everything that is stored on ${JSON.stringify(topic)}? [y/N] `,
  );
  asking.close();
  return /^y(es)?$/i.test(answer.trim());
}
