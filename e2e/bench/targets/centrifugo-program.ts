import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { unpackedAt } from './debian.ts';

export interface Centrifugo {
  readonly program: string;
  readonly version: string;
}

const version = '6.9.1';
const module = 'github.com/centrifugal/centrifugo/v6';
const directory = unpackedAt('centrifugo');
const patienceMs = 900_000;

/**
 * Centrifugo: the installed one, else the one under `.pushfleet/centrifugo`, else built there by an installed Go.
 *
 * @returns undefined, after saying why, where there is no way to it
 */
export function findCentrifugo(say: (line: string) => void): Centrifugo | undefined {
  try {
    return at('centrifugo') ?? at(`${directory}/centrifugo`) ?? build(say);
  } catch (error) {
    say(`centrifugo is left out: ${(error as Error).message.trim()}`);
    say(`Install it, or put the program of ${module} into ${directory}`);
    return undefined;
  }
}

function build(say: (line: string) => void): Centrifugo | undefined {
  say(`centrifugo is not installed: go install ${module}@v${version}`);
  execFileSync(
    'go',
    ['install', '-ldflags', `-X ${module}/internal/build.Version=${version}`, `${module}@v${version}`],
    {
      env: { ...process.env, GOBIN: directory },
      stdio: 'pipe',
      timeout: patienceMs,
    },
  );
  return at(`${directory}/centrifugo`);
}

function at(program: string): Centrifugo | undefined {
  if (program.includes('/') && !existsSync(program)) return undefined;
  try {
    return { program, version: execFileSync(program, ['version'], { encoding: 'utf8' }).trim() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
