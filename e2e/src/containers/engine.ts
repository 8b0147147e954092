import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** What a command printed. @throws Error with what it printed to standard error */
export async function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const options = { env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 };
  return (await execute(command, args, options)).stdout.trim();
}

/** Why nothing can be run in containers here; undefined where it can. */
export async function withoutEngine(): Promise<string | undefined> {
  const asked = [
    ['no Docker engine answers (docker info)', ['info', '--format', '{{.ServerVersion}}']],
    ['Docker has no compose here (docker compose version)', ['compose', 'version']],
    ['Docker has no buildx here (docker buildx version)', ['buildx', 'version']],
  ] as const;
  for (const [reason, args] of asked) {
    const works = await run('docker', args).catch(() => undefined);
    if (works === undefined) return `nothing is run in containers: ${reason}`;
  }
  return undefined;
}
