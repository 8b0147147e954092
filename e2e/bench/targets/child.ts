import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

const started = new Set<ChildProcess>();

// Whatever way the benchmark ends, what it started ends too, each by its own id. No SIGKILL: nginx would leave
// its workers behind.
process.on('exit', () => {
  for (const child of started) child.kill('SIGTERM');
});

/** Starts a server process that does not outlive the benchmark. */
export function startChild(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(command, args, options);
  started.add(child);
  child.once('exit', () => started.delete(child));
  return child;
}

/** Asks a process to end and waits for it. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await gone;
  clearTimeout(timer);
}
