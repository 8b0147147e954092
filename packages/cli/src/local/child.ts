import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** How a child ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** File that everything the child prints is appended to. */
  readonly log: string;
  /** Hears of the child before anything is waited for, so that no moment leaves it unrecorded. */
  readonly onStart?: ((child: Child) => void) | undefined;
}

/** A process that writes to a log file, and whose end is a promise. */
export interface Child {
  readonly pid: number;
  /** Resolves when the process is gone; never rejects. */
  readonly exited: Promise<Exit>;
  readonly running: boolean;
  /** Everything printed since the start. */
  output(): string;
  /** Sends the signal and waits for the end; after `patienceMs` the child is killed. */
  stop(signal: NodeJS.Signals, patienceMs?: number): Promise<Exit>;
  signal(signal: NodeJS.Signals): void;
}

/** @throws Error where the program cannot be started */
export async function startChild(o: ChildOptions): Promise<Child> {
  mkdirSync(dirname(o.log), { recursive: true });
  const file = openSync(o.log, 'a');
  const from = readFileSync(o.log).length;
  // A group of its own: Ctrl-C in a terminal reaches the parent alone, which stops its children in order.
  const process = spawn(o.command, o.args, {
    stdio: ['ignore', file, file],
    detached: true,
    ...(o.cwd !== undefined && { cwd: o.cwd }),
    ...(o.env !== undefined && { env: o.env }),
  });
  closeSync(file);
  const pid = process.pid;
  if (pid === undefined) throw await failure(process, o.command);
  const child = watch(process, pid, () => readFileSync(o.log).subarray(from).toString());
  o.onStart?.(child);
  return child;
}

function failure(process: ChildProcess, command: string): Promise<Error> {
  return new Promise((resolve) => {
    process.once('error', ({ message }) => resolve(new Error(`"${command}" does not start: ${message}`)));
  });
}

function watch(process: ChildProcess, pid: number, output: () => string): Child {
  const exited = new Promise<Exit>((resolve) =>
    process.once('exit', (code, signal) => resolve({ code, signal })),
  );
  return {
    pid,
    exited,
    get running() {
      return process.exitCode === null && process.signalCode === null;
    },
    output,
    signal: (signal) => void process.kill(signal),
    async stop(signal, patienceMs = 10_000) {
      const impatience = setTimeout(() => process.kill('SIGKILL'), patienceMs);
      process.kill(signal);
      const exit = await exited;
      clearTimeout(impatience);
      return exit;
    },
  };
}
