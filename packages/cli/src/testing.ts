import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { runProgram } from './program.ts';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  stderr(): string;
  readonly ended: Promise<Ended>;
}

/** Runs the `pushfleet` command as a shell would. */
export function pushfleet(...args: string[]): Running {
  return pushfleet.with({})(...args);
}

/** The same with more variables, and what it reads. */
pushfleet.with =
  (env: Readonly<Record<string, string>>, input = '') =>
  (...args: string[]): Running => {
    const command = join(import.meta.dirname, '../bin/pushfleet.mjs');
    const child = spawn(process.execPath, [command, ...args], { env: { ...process.env, ...env } });
    child.stdin.on('error', () => {}).end(input);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
    return { stderr: () => stderr, ended };
  };

/** What the command says of these arguments before it does anything: without a process of its own, which costs a second. */
export async function saysOf(...args: string[]): Promise<Ended> {
  const said = { stdout: '', stderr: '' };
  const code = await runProgram(args, {
    out: (text) => {
      said.stdout += text;
    },
    err: (text) => {
      said.stderr += text;
    },
  });
  return { code, ...said };
}
