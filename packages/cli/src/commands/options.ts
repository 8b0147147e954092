import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { defaultState } from '../local/state.ts';

/** What every command takes. */
export interface CommonOptions {
  readonly state: string;
  readonly json: boolean;
}

/** A command with the options that all have. */
export function command(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option('--json', 'print JSON, one object a line', false)
    .addOption(
      new Option('--state <folder>', 'where the local fleet keeps its state')
        .default(defaultState, '.pushfleet in the checkout')
        .argParser((folder) => resolve(folder)),
    );
}

/** Option parser: may be given several times. */
export const repeated = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
];

const units = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** Option parser: `90`, `90s`, `15m`, `1h` or `7d`, as seconds. */
export function parseSeconds(text: string): number {
  const match = /^(\d+)([smhd]?)$/.exec(text);
  const seconds = match && Number(match[1]) * units[(match[2] || 's') as keyof typeof units];
  if (!seconds)
    throw new InvalidArgumentError('A time is a number of seconds or one with a unit: 90s, 15m, 1h, 7d.');
  return seconds;
}

/** Option parser: the URL of a front. */
export function parseFront(text: string): string {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text;
  throw new InvalidArgumentError('A front is a URL such as https://push.example.com.');
}

/** Option parser: a whole number from 1. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1) throw new InvalidArgumentError('A count is a whole number from 1.');
  return count;
}
