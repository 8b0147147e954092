// npm run bench: what a delivery and an open connection cost, beside a peer and a reference, in one run.
import { load, machine } from './machine.ts';
import { help, type Options, readOptions } from './options.ts';
import { writePage } from './page.ts';
import { type Flow, type Idle, plan, type Scenario } from './plan.ts';
import { markdown, table } from './report.ts';
import { perFrontSecond, type Row, type Table } from './results.ts';
import { checkExact } from './scenarios/exact.ts';
import { runFlow } from './scenarios/flow.ts';
import { runIdle } from './scenarios/idle.ts';
import { bare } from './targets/bare.ts';
import { nchan } from './targets/nchan.ts';
import { findNchan } from './targets/nchan-package.ts';
import type { Running, Target } from './targets/target.ts';

const say = (line: string) => process.stderr.write(`${line}\n`);

async function chooseTargets(options: Options): Promise<Target[]> {
  const targets: Target[] = [];
  if (options.targets.includes('pushfleet')) {
    const { pushfleet } = await import('./targets/pushfleet.ts');
    targets.push(await pushfleet(options.edgeNodeOptions));
  }
  if (options.targets.includes('nchan')) {
    const found = findNchan(say);
    if (found !== undefined) targets.push(nchan(found));
  }
  if (options.targets.includes('bare')) targets.push(bare);
  return targets;
}

/** Starts a target for as long as `use` takes. */
async function running<T>(target: Target, use: (running: Running) => Promise<T>): Promise<T> {
  const started = await target.start();
  try {
    return await use(started);
  } finally {
    await started.stop();
  }
}

async function flowScenario(flow: Flow, targets: readonly Target[]): Promise<Table> {
  const rows: Row[] = targets.map(({ name }) => ({ target: name, flows: [], idles: [] }));
  const started = await startAll(targets);
  try {
    // Interleaved, so that whatever else the machine does falls on every target alike.
    for (let repetition = 1; repetition <= flow.repetitions; repetition++) {
      for (const [index, target] of started.entries()) {
        const row = rows[index] as Row;
        const result = await runFlow(target, flow);
        row.flows.push(result);
        const rate = Math.round(perFrontSecond(result) / 1000);
        say(`${flow.name} ${repetition}/${flow.repetitions} ${row.target}: ${rate}k deliveries a CPU-second`);
      }
    }
  } finally {
    await Promise.all(started.map((target) => target.stop()));
  }
  return { scenario: flow, rows };
}

async function startAll(targets: readonly Target[]): Promise<Running[]> {
  const started: Running[] = [];
  try {
    for (const target of targets) started.push(await target.start());
    return started;
  } catch (error) {
    await Promise.all(started.map((target) => target.stop()));
    throw error;
  }
}

async function idleScenario(idle: Idle, targets: readonly Target[]): Promise<Table> {
  const rows: Row[] = targets.map(({ name }) => ({ target: name, flows: [], idles: [] }));
  for (let repetition = 1; repetition <= idle.repetitions; repetition++) {
    for (const [index, target] of targets.entries()) {
      const result = await running(target, (started) => runIdle(started, idle));
      rows[index]?.idles.push(result);
      const kilobytes = (result.perConnection / 1000).toFixed(1);
      say(`idle ${repetition}/${idle.repetitions} ${target.name}: ${kilobytes} KB a connection`);
    }
  }
  return { scenario: idle, rows };
}

const runScenario = (scenario: Scenario, targets: readonly Target[]) =>
  scenario.kind === 'flow' ? flowScenario(scenario, targets) : idleScenario(scenario, targets);

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return void process.stdout.write(`${help}\n`);
  const targets = await chooseTargets(options);
  const facts = [
    `${new Date().toISOString().slice(0, 10)}, ${machine()}; load average at the start ${load()}`,
    ...targets.map((target) => `${target.name}: ${target.about()}`),
    'Repeat with: `npm run bench`',
  ];
  for (const target of targets) {
    await running(target, checkExact);
    say(`${target.name}: every client got every message of its topic, in order`);
  }
  const tables: Table[] = [];
  for (const scenario of plan(options.quick)) {
    if (!options.only.includes(scenario.name)) continue;
    const measured = await runScenario(scenario, targets);
    tables.push(measured);
    say(`\n${table(measured)}\n`);
  }
  const results = markdown(tables, facts);
  process.stdout.write(`${results}\n`);
  if (options.write) writePage(results);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
main().then(
  () => process.exit(),
  (error: Error) => {
    say(`bench: ${error.message}`);
    process.exit(1);
  },
);
