import { execFile } from 'node:child_process';

/** What a finished command left behind; `code` is undefined where it could not be started. */
export interface Ran {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, for at most five minutes. Never rejects: a missing program is an answer too. */
export function run(command: string, args: readonly string[], env = process.env): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { env, timeout: 300_000, maxBuffer: 32 * 1024 * 1024 };
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ code: 0, stdout, stderr });
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
      else resolve({ code: undefined, stdout, stderr: stderr || error.message });
    });
  });
}

/** Runs a command that has to succeed. */
export async function must(command: string, args: readonly string[], env = process.env): Promise<string> {
  const ran = await run(command, args, env);
  if (ran.code === 0) return ran.stdout;
  const said = (ran.stderr || ran.stdout).trim().split('\n').slice(-5).join('\n');
  throw new Error(`"${[command, ...args].join(' ')}" failed: ${said}`);
}
