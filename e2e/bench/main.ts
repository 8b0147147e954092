// npm run bench: what a publication, a delivery and an open connection cost, beside peers and a reference, in one run.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findNatsServer, findRedisServer } from '@pushfleet/cli/servers';
import { barePipe } from './hooks/bare-pipe.ts';
import type { Sender } from './hooks/sender.ts';
import { load, machine } from './machine.ts';
import { findBrokers } from './mqtt/find.ts';
import { help, type Options, readOptions } from './options.ts';
import { writeChapter } from './page.ts';
import { chapters, plan, type ScenarioName } from './plan.ts';
import { markdown, table } from './report.ts';
import type { Table } from './results.ts';
import { type Contenders, running, runScenario } from './run.ts';
import { checkExact } from './scenarios/exact.ts';
import { findTargets } from './targets/find.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const say = (line: string) => process.stderr.write(`${line}\n`);

async function chooseSenders(options: Options): Promise<Sender[]> {
  const senders: Sender[] = [];
  if (options.targets.includes('pushfleet')) {
    const { fleetSender } = await import('./hooks/fleet-sender.ts');
    senders.push(await fleetSender(options.nodeOptions));
  }
  if (options.targets.includes('bare')) senders.push(barePipe);
  return senders;
}

/** What the scenarios that were asked for need. */
async function choose(options: Options): Promise<Contenders> {
  const posting = options.only.includes('posts') || options.only.includes('hanging');
  return {
    targets: await findTargets(options, say),
    brokers: await findBrokers(options, say),
    nodeOptions: options.nodeOptions,
    senders: posting ? await chooseSenders(options) : [],
  };
}

/** Versions and configuration of what the scenarios of sessions start. */
async function sessionsFact(): Promise<string> {
  const progress = say;
  const [nats, redis] = await Promise.all([
    findNatsServer({ root, progress }),
    findRedisServer({ root, progress }),
  ]);
  const versionOf = (binary: string) => execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim();
  return (
    `pushfleet: Node ${process.versions.node}, ${versionOf(nats)}, ${/v=[\d.]+/.exec(versionOf(redis))?.[0].replace('v=', 'Redis ')}; ` +
    'edge-mqtt (two where one dies), one registry, one Redis with an append-only file, one nats-server with one shard ' +
    'and file storage, a token of its own for each client'
  );
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return void process.stdout.write(`${help}\n`);
  const contenders = await choose(options);
  const { targets, senders, brokers } = contenders;
  const facts = [
    `${new Date().toISOString().slice(0, 10)}, ${machine()}; load average at the start ${load()}`,
    ...(chapters.mqttSessions.some((name) => options.only.includes(name)) ? [await sessionsFact()] : []),
    ...[...targets, ...senders, ...brokers].map((contender) => `${contender.name}: ${contender.about()}`),
    `Repeat with: \`npm run bench -- --only ${options.only.join(',')}\``,
  ];
  for (const target of targets) {
    await running(target, checkExact);
    say(`${target.name}: every client got every message of its topic, in order`);
  }
  const tables: Table[] = [];
  for (const scenario of plan(options.quick)) {
    if (!options.only.includes(scenario.name)) continue;
    const measured = await runScenario(scenario, contenders, say);
    tables.push(measured);
    say(`\n${table(measured)}\n`);
  }
  process.stdout.write(`${markdown(tables, facts)}\n`);
  if (!options.write) return;
  for (const [chapter, scenarios] of Object.entries<readonly ScenarioName[]>(chapters)) {
    const measured = tables.filter(({ scenario }) => scenarios.includes(scenario.name));
    if (measured.length > 0) writeChapter(chapter, markdown(measured, facts));
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
main().then(
  () => process.exit(),
  (error: Error) => {
    say(`bench: ${error.message}`);
    process.exit(1);
  },
);
