// Runs one scenario over all targets that take part in it, repetitions interleaved, so that whatever else the
// machine does falls on every target alike.
import type { Sender } from './hooks/sender.ts';
import type { Broker } from './mqtt/broker.ts';
import type { Flow, Idle, Publish, Scenario, Stalled, Storm } from './plan.ts';
import {
  over,
  type PublishRow,
  perFrontSecond,
  perSecond,
  type Row,
  type StalledRow,
  type Table,
} from './results.ts';
import { mqttTable } from './run-mqtt.ts';
import { mqttSessionsTable } from './run-mqtt-sessions.ts';
import { appointmentsTable, hangingTable, hooksTable, matchingTable } from './run-webhooks.ts';
import { runFlow } from './scenarios/flow.ts';
import { runIdle } from './scenarios/idle.ts';
import { runPublish } from './scenarios/publish.ts';
import { runStalled } from './scenarios/stalled.ts';
import { runStorm } from './scenarios/storm.ts';
import type { Intake, Running, Target } from './targets/target.ts';

type Say = (line: string) => void;

/** What takes part, as far as it was asked for. */
export interface Contenders {
  readonly targets: readonly Target[];
  /** The fleet first. */
  readonly senders: readonly Sender[];
  readonly brokers: readonly Broker[];
  /** NODE_OPTIONS of the services of Pushfleet that a scenario starts by itself. */
  readonly nodeOptions: string | undefined;
}

export function runScenario(scenario: Scenario, contenders: Contenders, say: Say): Promise<Table> {
  if (scenario.kind === 'hooks') return hooksTable(scenario, contenders.senders, say);
  if (scenario.kind === 'hanging') {
    // The pipe has no chance: whoever hangs ends it.
    return hangingTable(
      scenario,
      contenders.senders.filter(({ name }) => name === 'pushfleet'),
      say,
    );
  }
  if (scenario.kind === 'appointments') return appointmentsTable(scenario);
  if (scenario.kind === 'matching') return matchingTable(scenario);
  if (scenario.kind === 'mqttFlow' || scenario.kind === 'mqttConnect' || scenario.kind === 'mqttIdle') {
    return mqttTable(scenario, contenders.brokers, say);
  }
  if (scenario.kind === 'mqttRest' || scenario.kind === 'mqttResume' || scenario.kind === 'mqttLasting') {
    return mqttSessionsTable(scenario, contenders.nodeOptions, say);
  }
  const all = contenders.targets;
  const targets = all.filter(({ scenarios }) => scenarios.includes(scenario.name));
  if (scenario.kind === 'flow') return flowTable(scenario, targets, say);
  if (scenario.kind === 'idle') return idleTable(scenario, targets, say);
  if (scenario.kind === 'stalled') return stalledTable(scenario, targets, say);
  if (scenario.kind === 'storm') return stormTable(scenario, targets, say);
  return publishTable(scenario, targets, say);
}

/** Starts a target for as long as `use` takes. */
export async function running<T>(target: Target, use: (running: Running) => Promise<T>): Promise<T> {
  const started = await target.start();
  try {
    return await use(started);
  } finally {
    await started.stop();
  }
}

const emptyRows = <R>(targets: readonly Target[]): Row<R>[] =>
  targets.map(({ name }) => ({ target: name, results: [] }));

async function flowTable(flow: Flow, targets: readonly Target[], say: Say): Promise<Table> {
  const rows = emptyRows<Awaited<ReturnType<typeof runFlow>>>(targets);
  const started = await startAll(targets);
  try {
    for (let repetition = 1; repetition <= flow.repetitions; repetition++) {
      for (const [index, target] of started.entries()) {
        const result = await runFlow(target, flow);
        rows[index]?.results.push(result);
        const rate = Math.round(perFrontSecond(result) / 1000);
        const what = `${rate}k deliveries a CPU-second, p99 ${result.p99.toFixed(1)} ms`;
        say(`${flow.name} ${repetition}/${flow.repetitions} ${targets[index]?.name}: ${what}`);
      }
    }
  } finally {
    await Promise.all(started.map((target) => target.stop()));
  }
  return { kind: 'flow', scenario: flow, rows };
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

async function idleTable(idle: Idle, targets: readonly Target[], say: Say): Promise<Table> {
  const rows = emptyRows<Awaited<ReturnType<typeof runIdle>>>(targets);
  for (let repetition = 1; repetition <= idle.repetitions; repetition++) {
    for (const [index, target] of targets.entries()) {
      const result = await running(target, (started) => runIdle(started, idle));
      rows[index]?.results.push(result);
      const kilobytes = (result.perConnection / 1000).toFixed(1);
      say(`${idle.name} ${repetition}/${idle.repetitions} ${target.name}: ${kilobytes} KB a connection`);
    }
  }
  return { kind: 'idle', scenario: idle, rows };
}

/** Each measurement has servers of its own: what a client that stopped is owed would weigh on the next. */
async function stalledTable(stalled: Stalled, targets: readonly Target[], say: Say): Promise<Table> {
  const rows = targets.flatMap(({ name }): StalledRow[] =>
    [false, true].map((stalls) => ({ target: name, stalls, results: [] })),
  );
  for (let repetition = 1; repetition <= stalled.repetitions; repetition++) {
    for (const row of rows) {
      const target = targets.find(({ name }) => name === row.target) as Target;
      const result = await running(target, (started) => runStalled(started, stalled, row.stalls));
      row.results.push(result);
      const which = row.stalls ? 'some stop' : 'all read';
      const p99 = result.p99.toFixed(1);
      say(`${stalled.name} ${repetition}/${stalled.repetitions} ${row.target}, ${which}: p99 ${p99} ms`);
    }
  }
  return { kind: 'stalled', scenario: stalled, rows };
}

/** Each repetition has servers of its own: a log that fills up would make the later ones dearer. */
async function stormTable(storm: Storm, targets: readonly Target[], say: Say): Promise<Table> {
  const rows = emptyRows<Awaited<ReturnType<typeof runStorm>>>(targets);
  for (let repetition = 1; repetition <= storm.repetitions; repetition++) {
    for (const [index, target] of targets.entries()) {
      const result = await running(target, (started) => runStorm(started, storm));
      rows[index]?.results.push(result);
      const seconds = result.seconds.toFixed(2);
      say(`storm ${repetition}/${storm.repetitions} ${target.name}: all caught up after ${seconds} s`);
    }
  }
  return { kind: 'storm', scenario: storm, rows };
}

async function publishTable(publish: Publish, targets: readonly Target[], say: Say): Promise<Table> {
  const rows: PublishRow[] = [];
  for (let repetition = 1; repetition <= publish.repetitions; repetition++) {
    for (const target of targets) {
      await running(target, async ({ intake }) => {
        if (intake !== undefined) await publishAllWays(target.name, intake, publish, rows, say);
      });
    }
  }
  return { kind: 'publish', scenario: publish, rows };
}

async function publishAllWays(
  target: string,
  intake: Intake,
  publish: Publish,
  rows: PublishRow[],
  say: Say,
): Promise<void> {
  for (const path of intake.paths) {
    for (const publishers of path.publishers === undefined ? publish.publishers : [path.publishers]) {
      const row = rowOf(rows, target, path.name, publishers);
      row.results.push(await runPublish(intake, path, publishers, publish));
      const rate = Math.round(over({ ...row, results: row.results.slice(-1) }, perSecond).median);
      say(`publish ${target}, ${path.name}, ${publishers}: ${rate} acknowledged a second`);
    }
  }
}

function rowOf(rows: PublishRow[], target: string, way: string, publishers: number): PublishRow {
  const found = rows.find((row) => row.target === target && row.way === way && row.publishers === publishers);
  if (found !== undefined) return found;
  const row = { target, way, publishers, results: [] };
  rows.push(row);
  return row;
}
