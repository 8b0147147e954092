import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { Random } from '@pushfleet/contract/simulation';
import type { FaultCase, Kind } from './cases.ts';

export const help = `Usage: npm run faults -- [options]

  --seed n       order, times and choices of the run that printed it; or PUSHFLEET_FAULT_SEED
  --containers   the faults of docker-compose.yml, on a Docker engine, instead of those of processes
  --only text    faults whose name has this regular expression
  --seconds n    most that a fault may take, recovery included (240; 900 with --containers)
  --minutes n    faults that would begin later are not played, and the table says so (90)
  --write        put the table into docs/reliability.md
  --list         names of the faults
  --help`;

export interface Options {
  readonly seed: number;
  readonly containers: boolean;
  readonly only: RegExp | undefined;
  /** Of one fault. */
  readonly boundMs: number;
  /** Of all of them together. */
  readonly allMs: number;
  readonly write: boolean;
  readonly list: boolean;
  readonly help: boolean;
}

/** @throws Error saying which option is wrong */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string' },
      containers: { type: 'boolean', default: false },
      only: { type: 'string' },
      seconds: { type: 'string' },
      minutes: { type: 'string', default: '90' },
      write: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { containers, write, list, help, only } = values;
  if (write && only !== undefined) throw new Error('--write takes all faults: leave --only out');
  const given = values.seed ?? env.PUSHFLEET_FAULT_SEED;
  return {
    ...{ containers, write, list, help },
    seed: given === undefined ? randomInt(1_000_000) : whole('--seed', given),
    only: only === undefined ? undefined : new RegExp(only),
    allMs: whole('--minutes', values.minutes) * 60_000,
    boundMs: whole('--seconds', values.seconds ?? (containers ? '900' : '240')) * 1_000,
  };
}

/** What plays the same again. */
export function commandOf({ containers, only, seed }: Pick<Options, 'containers' | 'only' | 'seed'>): string {
  const chosen = [...(containers ? ['--containers'] : []), ...(only ? [`--only '${only.source}'`] : [])];
  return ['npm run faults --', ...chosen, `--seed ${seed}`].join(' ');
}

function whole(option: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Error(`${option} is a whole number, not ${JSON.stringify(text)}`);
}

export const nameOf = ({ where, what }: Pick<FaultCase, 'where' | 'what'>): string => `${where}: ${what}`;

/** The faults in the order of a seed, those of one fleet together. */
export function inOrder<Fault extends { readonly kind: Kind }>(
  cases: readonly Fault[],
  random: Random,
): readonly Fault[] {
  const kinds: readonly Kind[] = ['containers', 'sentinel', 'disks', 'usual'];
  return kinds.flatMap((kind) => {
    const left = cases.filter((one) => one.kind === kind);
    const order: Fault[] = [];
    while (left.length > 0) order.push(...left.splice(random.below(left.length), 1));
    return order;
  });
}
