import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { chapters, type ScenarioName, scenarioNames } from './plan.ts';

const targetNames = [
  'pushfleet',
  'nchan',
  'pushpin',
  'centrifugo',
  'socket.io',
  'faye',
  'bare',
  'mosquitto',
  'aedes',
] as const;
export type TargetName = (typeof targetNames)[number];

const chapterHelp = Object.entries(chapters)
  .map(([name, scenarios]) => `${name} (${scenarios.join(',')})`)
  .join(', ');

export const help = `Usage: npm run bench -- [options]

  --quick           few seconds and one repetition of everything: a look, not a figure to quote
  --only a,b        of ${scenarioNames.join(', ')}
  --targets a,b     of ${targetNames.join(', ')}
  --write           put the results into docs/performance.md, by whole chapters:
                    ${chapterHelp}
  --profile dir     write V8 CPU profiles of Pushfleet's services into this folder; their figures suffer
  --help`;

export interface Options {
  readonly quick: boolean;
  readonly write: boolean;
  readonly help: boolean;
  readonly only: readonly ScenarioName[];
  readonly targets: readonly TargetName[];
  /** NODE_OPTIONS for Pushfleet's services. */
  readonly nodeOptions: string | undefined;
}

/** @throws Error saying which option is wrong */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      only: { type: 'string' },
      targets: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const only = list('--only', values.only, scenarioNames);
  if (values.write) checkWhole(only, values.quick || values.targets !== undefined);
  return {
    quick: values.quick,
    write: values.write,
    help: values.help,
    only,
    targets: list('--targets', values.targets, targetNames),
    nodeOptions:
      values.profile === undefined ? undefined : `--cpu-prof --cpu-prof-dir=${resolve(values.profile)}`,
  };
}

/** Figures that stand beside each other have to come from one run. */
function checkWhole(only: readonly ScenarioName[], partly: boolean): void {
  const broken = Object.values<readonly ScenarioName[]>(chapters).find(
    (scenarios) =>
      scenarios.some((name) => only.includes(name)) && !scenarios.every((name) => only.includes(name)),
  );
  if (partly) throw new Error('--write takes all targets in full: leave --quick and --targets out');
  if (broken !== undefined) throw new Error(`--write takes whole chapters: ${broken.join(',')}`);
}

function list<T extends string>(
  option: string,
  text: string | undefined,
  allowed: readonly T[],
): readonly T[] {
  if (text === undefined) return allowed;
  return text.split(',').map((word) => {
    const known = allowed.find((name) => name === word);
    if (known === undefined) throw new Error(`${option} ${word} is not one of ${allowed.join(', ')}`);
    return known;
  });
}
