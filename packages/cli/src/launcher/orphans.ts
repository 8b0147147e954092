import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning } from '../local/process-identity.ts';
import { type FleetProcess, type FleetRecord, removeRecord } from '../local/state.ts';

/** How long a process may take to end after SIGTERM. */
const patienceMs = 10_000;

/**
 * Ends what a launcher that was killed left running. Each process is known by its number and its start, so that
 * nobody else's is ever touched.
 */
export async function endOrphans(
  state: string,
  record: FleetRecord | undefined,
  progress: (line: string) => void,
): Promise<void> {
  const orphans = record?.processes.filter(isRunning) ?? [];
  if (orphans.length > 0) {
    const names = orphans.map(({ name, pid }) => `${name} (${pid})`).join(', ');
    progress(`Ending what the last start left behind: ${names} …`);
  }
  // Services first: they finish their work on servers that still run.
  const isServer = ({ name }: FleetProcess): boolean => name === 'nats' || name === 'redis';
  await Promise.all(orphans.filter((orphan) => !isServer(orphan)).map(end));
  await Promise.all(orphans.filter(isServer).map(end));
  removeRecord(state);
}

async function end(orphan: FleetProcess): Promise<void> {
  const deadline = Date.now() + patienceMs;
  signal(orphan, 'SIGTERM');
  while (isRunning(orphan) && Date.now() < deadline) await sleep(50);
  if (!isRunning(orphan)) return;
  signal(orphan, 'SIGKILL');
  while (isRunning(orphan)) await sleep(20);
}

function signal(orphan: FleetProcess, name: NodeJS.Signals): void {
  try {
    process.kill(orphan.pid, name);
  } catch {
    // It ended meanwhile.
  }
}
