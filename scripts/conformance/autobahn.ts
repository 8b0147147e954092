import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../servers.ts';
import { bring, Missing, workshop } from './languages.ts';

const version = '25.10.1';
const report = join(workshop, 'autobahn-report');

/** An edge that sends every message back, and takes the largest that the suite sends. */
export const echoEnv = {
  PUSHFLEET_EDGE_WEBSOCKET_ECHO: 'true',
  PUSHFLEET_EDGE_WEBSOCKET_MESSAGE_BYTES: '32MiB',
  PUSHFLEET_EDGE_WEBSOCKET_MESSAGE_RATE: '1000000',
};

/** The suite is a program of Python 2. */
export interface Autobahn {
  readonly python: string;
  readonly packages: string;
}

/** @throws Missing where it cannot be had on this machine */
export function bringAutobahn(): Autobahn {
  const python = python2();
  const packages = join(workshop, `autobahn-${version}`);
  // `pip --target` puts everything there at its very end.
  if (!existsSync(join(packages, 'autobahntestsuite'))) {
    rmSync(packages, { recursive: true, force: true });
    mkdirSync(workshop, { recursive: true });
    const what = ['install', '-q', '--disable-pip-version-check', '--target', packages];
    bring('pip cannot install', root, python, '-m', 'pip', ...what, `autobahntestsuite==${version}`);
  }
  return { python, packages };
}

/** What PYTHON2 names, else what is on the PATH, else what pyenv has. */
function python2(): string {
  for (const python of [process.env.PYTHON2, 'python2.7', 'python2', ...pyenvPythons()]) {
    if (python && says(python, '-m', 'pip', '--version') !== undefined) return python;
  }
  throw new Missing('no Python 2.7 with pip, which the Autobahn TestSuite needs; PYTHON2 may name one');
}

/** pyenv keeps versions that are not on the PATH until they are chosen. */
function pyenvPythons(): string[] {
  const versions = says('pyenv', 'versions', '--bare')?.split('\n') ?? [];
  return versions
    .filter((version) => version.startsWith('2.7'))
    .map((version) => join(says('pyenv', 'prefix', version) ?? '', 'bin/python'));
}

/** What a program says; undefined where there is none or it fails. */
function says(command: string, ...args: string[]): string | undefined {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

const program = (packages: string): string =>
  `import site; site.addsitedir(${JSON.stringify(packages)}); from autobahntestsuite.wstest import run; run()`;

interface Case {
  readonly behavior: string;
  readonly behaviorClose: string;
  readonly duration: number;
}

const good = ['OK', 'INFORMATIONAL'];
/** Cases that may be NON-STRICT: text that is no UTF-8 is refused at the end of its message, not at the byte that breaks it. */
const late = ['6.4.1', '6.4.2', '6.4.3', '6.4.4'];

/**
 * Has the fuzzing client try every case against the echo of an edge. The report is `.pushfleet/conformance/autobahn-report`.
 *
 * @returns how many there were of each behaviour, and which were not strict
 * @throws Error with the cases that failed
 */
export async function tryAutobahn({ python, packages }: Autobahn, address: string): Promise<string> {
  rmSync(report, { recursive: true, force: true });
  mkdirSync(report, { recursive: true });
  const spec = join(report, 'spec.json');
  const server = { agent: 'edge-websocket', url: `ws://${address}/ws`, protocols: ['pushfleet.echo'] };
  writeFileSync(
    spec,
    JSON.stringify({ outdir: report, servers: [server], cases: ['*'], 'exclude-cases': [] }),
  );
  await run(python, ['-c', program(packages), '-m', 'fuzzingclient', '-s', spec]);
  return judge(
    JSON.parse(readFileSync(join(report, 'index.json'), 'utf8')) as Record<string, Record<string, Case>>,
  );
}

function judge(index: Record<string, Record<string, Case>>): string {
  const counts = new Map<string, number>();
  const failed: string[] = [];
  const lax: string[] = [];
  for (const [id, { behavior, behaviorClose }] of Object.entries(index['edge-websocket'] ?? {})) {
    counts.set(behavior, (counts.get(behavior) ?? 0) + 1);
    if (behavior === 'NON-STRICT') lax.push(id);
    const asAllowed = good.includes(behavior) || (behavior === 'NON-STRICT' && late.includes(id));
    if (!asAllowed || !good.includes(behaviorClose)) {
      failed.push(`${id}: ${behavior}, closing ${behaviorClose}`);
    }
  }
  const sum = Array.from(counts, ([behavior, count]) => `${count} ${behavior}`).join(', ');
  if (failed.length > 0 || counts.size === 0) throw new Error(`${sum}\n${failed.join('\n')}`);
  return lax.length === 0
    ? sum
    : `${sum}: ${lax.join(', ')} (invalid UTF-8 is refused at the end of its message)`;
}

function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { cwd: workshop, stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4_000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`The suite ended with ${code}: ${errors}`)),
    );
  });
}
