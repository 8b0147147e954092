import type { Command } from 'commander';
import { exitCode } from '../exit-code.ts';
import { isRunning } from '../local/process-identity.ts';
import type { FleetProcess } from '../local/state.ts';
import { runningFleet } from '../local-fleet.ts';
import { type CommonOptions, command } from './options.ts';

interface Report {
  readonly name: string;
  readonly pid: number;
  readonly addresses: Readonly<Record<string, string>>;
  /** Whether it serves; else why not. */
  readonly state: string;
}

const help = `
Exit codes: 0 every part is ready, 1 a part is not, 3 no local fleet runs.`;

export function statusCommand(): Command {
  return command('status', 'Show the local fleet: its parts, addresses and whether they are ready.')
    .addHelpText('after', help)
    .action(printStatus);
}

async function printStatus(o: CommonOptions): Promise<void> {
  const { url, launcher, processes } = runningFleet(o.state);
  const reports = await Promise.all(processes.map(examine));
  const ready = url !== undefined && reports.every(({ state }) => state === 'ready');
  if (o.json) {
    console.log(JSON.stringify({ ready, url, launcher: launcher.pid, state: o.state, processes: reports }));
  } else {
    console.log(`${'front'.padEnd(16)} ${url ?? 'starting'} (launcher ${launcher.pid})`);
    for (const report of reports) console.log(line(report));
    console.log(`Logs, data and the secret are in ${o.state}`);
  }
  if (!ready) process.exitCode = exitCode.failed;
}

function line({ name, pid, addresses, state }: Report): string {
  const listeners = Object.entries(addresses).map(([listener, address]) => `${listener} ${address}`);
  return `${name.padEnd(16)} ${state.padEnd(8)} pid ${String(pid).padEnd(8)} ${listeners.join(', ')}`;
}

async function examine(process: FleetProcess): Promise<Report> {
  const { name, pid, addresses } = process;
  const state = isRunning(process) ? await readiness(process) : 'dead';
  return { name, pid, addresses, state };
}

async function readiness({ addresses }: FleetProcess): Promise<string> {
  const page = addresses.ops
    ? `http://${addresses.ops}/readyz`
    : addresses.monitor && `http://${addresses.monitor}/healthz`;
  if (Object.keys(addresses).length === 0) return 'starting';
  if (!page) return 'ready';
  try {
    const answer = await fetch(page, { signal: AbortSignal.timeout(2_000) });
    return answer.ok ? 'ready' : reasonsOf(await answer.text());
  } catch {
    return 'no answer';
  }
}

/** What /readyz answers, for a person. */
function reasonsOf(answer: string): string {
  try {
    const { reasons } = JSON.parse(answer) as { reasons: Readonly<Record<string, string>> };
    return `not ready: ${Object.values(reasons).join('; ')}`;
  } catch {
    return answer.trim();
  }
}
