import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type ScenarioName, scenarioNames } from './plan.ts';

export const help = `Usage: npm run bench -- [options]

  --quick           few seconds and one repetition of everything: a look, not a figure to quote
  --only a,b        of ${scenarioNames.join(', ')}
  --targets a,b     of pushfleet, nchan, pushpin, bare
  --write           put the results into docs/performance.md (not with --quick, --only or --targets)
  --profile dir     write V8 CPU profiles of Pushfleet's services into this folder; their figures suffer
  --help`;

export interface Options {
  readonly quick: boolean;
  readonly write: boolean;
  readonly help: boolean;
  readonly only: readonly ScenarioName[];
  readonly targets: readonly string[];
  /** NODE_OPTIONS for Pushfleet's services. */
  readonly nodeOptions: string | undefined;
}

const targetNames = ['pushfleet', 'nchan', 'pushpin', 'bare'] as const;

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
  const partly = values.quick || values.only !== undefined || values.targets !== undefined;
  if (values.write && partly)
    throw new Error('--write takes a whole run: leave --quick, --only and --targets out');
  return {
    quick: values.quick,
    write: values.write,
    help: values.help,
    only: list('--only', values.only, scenarioNames),
    targets: list('--targets', values.targets, targetNames),
    nodeOptions:
      values.profile === undefined ? undefined : `--cpu-prof --cpu-prof-dir=${resolve(values.profile)}`,
  };
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
