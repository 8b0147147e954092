// npm start: a whole fleet on this machine, in one terminal.
import { tryLock } from '../local/lock.ts';
import { ensureSecrets, readRecord } from '../local/state.ts';
import { commandLine } from './command-line.ts';
import { startFleet } from './fleet.ts';
import { type LaunchOptions, parseLaunchOptions } from './options.ts';
import { endOrphans } from './orphans.ts';
import { Roster } from './roster.ts';

const options = parseLaunchOptions(process.argv.slice(2));
const began = performance.now();
const progress = (line: string): void => {
  const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(5);
  console.log(`${seconds} s  ${line}`);
};

// A terminal that was closed takes no more lines.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  return 1;
});
process.exit();

async function main(): Promise<number> {
  const lock = tryLock(`${options.state}/fleet.lock`);
  if (!('release' in lock)) throw new Error(running(lock.pid));
  try {
    await endOrphans(options.state, readRecord(options.state), progress);
    ensureSecrets(options.state);
    return await run(new Roster(options.state));
  } finally {
    lock.release();
  }
}

function running(pid: number): string {
  return `A fleet of this checkout runs already (process ${pid}): "npx pushfleet status" shows it. Stop it with Ctrl-C in its terminal, or with: kill ${pid}`;
}

async function run(roster: Roster): Promise<number> {
  const asked = onSignal(roster);
  const died = roster.died.then((words) => {
    throw new Error(
      `${words}\n${options.state}/logs has all of it. "npm start" starts the fleet again, with what its log holds.`,
    );
  });
  try {
    const front = await Promise.race([startFleet({ ...options, roster, progress }), asked, died]);
    if (front === undefined) return 0;
    roster.ready(front.url);
    console.log(`\n${nextSteps(front.url, options)}`);
    await Promise.race([asked, died]);
    return 0;
  } finally {
    progress('Stopping …');
    await roster.stop(15_000);
    progress('Stopped.');
  }
}

/** Resolves at the first signal. A second one, a second later or more, ends everything at once. */
function onSignal(roster: Roster): Promise<undefined> {
  return new Promise((resolve) => {
    let first: number | undefined;
    const hear = (): void => {
      first ??= performance.now();
      // npm and the bootstrap hand on the same Ctrl-C that the terminal already sent.
      if (performance.now() - first > 1_000) roster.kill();
      resolve(undefined);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, hear);
  });
}

/** What a person does next, each line runnable as it stands in any folder. */
function nextSteps(url: string, { state, services }: LaunchOptions): string {
  const lines = [`The front:  ${url}`];
  if (services.includes('publish'))
    lines.push(`Publish:    ${commandLine(state, 'publish', "demo/hello 'Hello, fleet'")}`);
  if (services.includes('edge-sse')) lines.push(`Listen:     ${commandLine(state, 'tail', "'demo/#'")}`);
  return lines.join('\n');
}
