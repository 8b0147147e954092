// npm run faults: every fault of cases.ts, or of containers/faults.ts, under load, and what came of it as a table.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findNatsServer, findRedisServer } from '@pushfleet/cli/servers';
import { Random } from '@pushfleet/contract/simulation';
import { load, machine } from '../../bench/machine.ts';
import { writeBetween } from '../../bench/page.ts';
import { type Compose, engineVersions } from '../containers/compose.ts';
import { ContainerGround, containerCases } from '../containers/faults.ts';
import type { Fleet } from '../fleet.ts';
import type { Site } from '../trial.ts';
import { cases, type FaultCase, type Kind } from './cases.ts';
import { type Ground, NotHere, Playground } from './ground.ts';
import { measure } from './measure.ts';
import { commandOf, help, inOrder, nameOf, type Options, readOptions } from './options.ts';
import { isKept, type Row, table } from './report.ts';

const root = resolve(import.meta.dirname, '../../..');
const say = (line: string) => process.stderr.write(`${line}\n`);

/** What is played, and on what. */
interface Programme<S> {
  readonly cases: readonly FaultCase<S>[];
  open(kind: Kind): Promise<Ground<S>>;
  /** Which programs the fleet is made of. */
  versions(): Promise<string>;
  /** Where the table has its place in docs/reliability.md. */
  readonly marker: string;
}

const processes: Programme<Fleet> = {
  cases,
  open: (kind) => Playground.open(kind),
  async versions() {
    const o = { root, progress: say };
    const version = async (binary: Promise<string>) =>
      /(\d+\.\d+\.\d+)/.exec(execFileSync(await binary, ['--version'], { encoding: 'utf8' }))?.[1];
    return `Node ${process.versions.node}, nats-server ${await version(findNatsServer(o))}, Redis ${await version(findRedisServer(o))}`;
  },
  marker: 'faults',
};

const containers: Programme<Compose> = {
  cases: containerCases,
  open: () => ContainerGround.open(),
  versions: engineVersions,
  marker: 'containers',
};

/** Plays faults one after the other; whatever goes wrong with one, the next has a whole fleet. */
class Suite<S extends Site> {
  readonly #options: Options;
  readonly #programme: Programme<S>;
  readonly #rows = new Map<FaultCase<S>, Row>();
  #kind: Kind | undefined;
  #ground: Ground<S> | NotHere | undefined;

  constructor(options: Options, programme: Programme<S>) {
    this.#options = options;
    this.#programme = programme;
  }

  async run(faults: readonly FaultCase<S>[]): Promise<readonly Row[]> {
    for (const fault of faults) {
      const row = { fault, result: await this.#play(fault) };
      this.#rows.set(fault, row);
      say(table([row]).split('\n').at(-1) as string);
      if (!isKept(row)) await this.#keepLogs(row);
    }
    await this.#leave();
    return this.#programme.cases.flatMap((one) => this.#rows.get(one) ?? []);
  }

  async #play(fault: FaultCase<S>): Promise<Row['result']> {
    if (performance.now() > this.#options.allMs) return { skipped: 'the time of this run was over' };
    try {
      const ground = await this.#enter(fault.kind);
      if (ground instanceof NotHere) return { skipped: ground.message };
      return await bounded(measure(ground, fault, this.#options.seed), this.#options.boundMs);
    } catch (error) {
      say(String((error as Error).stack));
      return { failed: (error as Error).message.replaceAll('\n', ' ').replaceAll('|', '/').slice(0, 200) };
    }
  }

  async #enter(kind: Kind): Promise<Ground<S> | NotHere> {
    if (this.#kind !== kind) await this.#leave();
    this.#kind = kind;
    this.#ground ??= await this.#programme.open(kind).catch((error) => {
      if (error instanceof NotHere) return error;
      throw error;
    });
    return this.#ground;
  }

  async #leave(): Promise<void> {
    const ground = this.#ground;
    this.#ground = undefined;
    if (ground !== undefined && !(ground instanceof NotHere)) await ground.close();
  }

  async #keepLogs({ fault, result }: Row): Promise<void> {
    if ('broken' in result) for (const line of result.broken) say(line);
    const folder = join(root, '.pushfleet/faults');
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${nameOf(fault).replaceAll(/[^\w-]+/g, '-')}.log`);
    if (this.#ground !== undefined && !(this.#ground instanceof NotHere))
      writeFileSync(file, await this.#ground.logs());
    say(`what the services said is in ${file}; --seed ${this.#options.seed} plays it again`);
    await this.#leave();
  }
}

async function bounded<T>(running: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not come to its end in ${ms / 1_000} s`)), ms);
  });
  running.catch(() => {}); // it may still fail when nobody waits for it any more
  try {
    return await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}

const loadBefore = load();

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options.help) return void process.stdout.write(`${help}\n`);
  await (options.containers ? perform(options, containers) : perform(options, processes));
}

async function perform<S extends Site>(options: Options, programme: Programme<S>): Promise<void> {
  const chosen = programme.cases.filter((one) => options.only?.test(nameOf(one)) ?? true);
  if (options.list) return void process.stdout.write(`${chosen.map(nameOf).join('\n')}\n`);
  if (chosen.length === 0) throw new Error(`no fault has ${options.only} in its name; --list lists them`);
  say(`seed ${options.seed}`);
  const began = performance.now();
  const rows = await new Suite(options, programme).run(inOrder(chosen, new Random(options.seed)));
  const minutes = Math.round((performance.now() - began) / 60_000);
  const facts = [
    `${new Date().toISOString().slice(0, 10)}, ${machine()}, load average at the start ${loadBefore}`,
    await programme.versions(),
    `${minutes} min; repeat with \`${commandOf(options)}\``,
  ];
  const text = `${facts.join('; ')}.\n\n${table(rows)}`;
  process.stdout.write(`${text}\n`);
  if (options.write) writeBetween('docs/reliability.md', programme.marker, text);
  const skipped = rows.filter(({ result }) => 'skipped' in result).length;
  if (skipped > 0) say(`faults: ${skipped} of ${rows.length} were not played; the table says why`);
  const broken = rows.filter((row) => !isKept(row)).length;
  if (broken > 0) throw new Error(`${broken} of ${rows.length} faults broke a promise`);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
main().then(
  () => process.exit(),
  (error: Error) => {
    say(`faults: ${error.message}`);
    process.exit(1);
  },
);
