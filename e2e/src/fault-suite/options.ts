import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { Random } from '@pushfleet/contract/simulation';
import type { FaultCase, Ground } from './cases.ts';

export const help = `Usage: npm run faults -- [options]

  --seed n       order, times and choices of the run that printed it; or PUSHFLEET_FAULT_SEED
  --only text    faults whose name has this regular expression
  --seconds n    most that a fault may take, recovery included (240)
  --minutes n    faults that would begin later are not played, and the table says so (90)
  --write        put the table into docs/reliability.md
  --list         names of the faults
  --help`;

export interface Options {
  readonly seed: number;
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
      only: { type: 'string' },
      seconds: { type: 'string', default: '240' },
      minutes: { type: 'string', default: '90' },
      write: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { write, list, help, only } = values;
  if (write && only !== undefined) throw new Error('--write takes all faults: leave --only out');
  const given = values.seed ?? env.PUSHFLEET_FAULT_SEED;
  return {
    ...{ write, list, help },
    seed: given === undefined ? randomInt(1_000_000) : whole('--seed', given),
    only: only === undefined ? undefined : new RegExp(only),
    allMs: whole('--minutes', values.minutes) * 60_000,
    boundMs: whole('--seconds', values.seconds) * 1_000,
  };
}

function whole(option: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Error(`${option} is a whole number, not ${JSON.stringify(text)}`);
}

export const nameOf = ({ where, what }: Pick<FaultCase, 'where' | 'what'>): string => `${where}: ${what}`;

/** The faults in the order of a seed, those of one fleet together. */
export function inOrder(cases: readonly FaultCase[], random: Random): readonly FaultCase[] {
  const grounds: readonly Ground[] = ['sentinel', 'disks', 'usual'];
  return grounds.flatMap((ground) => {
    const left = cases.filter((one) => one.ground === ground);
    const order: FaultCase[] = [];
    while (left.length > 0) order.push(...left.splice(random.below(left.length), 1));
    return order;
  });
}
