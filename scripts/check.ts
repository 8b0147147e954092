// Everything that can be said of the sources without running them. Each step prints a line; one that fails also
// prints what it found.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './servers.ts';

process.chdir(root);
process.env.PATH = `${join(root, 'node_modules/.bin')}:${process.env.PATH}`;
const generated = mkdtempSync(join(tmpdir(), 'pushfleet-proto-'));

/** A step is a list of commands; it holds where all of them end with 0. */
const steps: Readonly<Record<string, readonly string[]>> = {
  format: ['biome format .'],
  lint: ['biome lint --error-on-warnings .', 'eslint .'],
  // What runs in browsers is held to what browsers have.
  types: ['tsc -p .', 'tsc -p packages/cli/src/launcher/page'],
  proto: [
    'buf lint',
    'buf breaking --against proto/released.binpb',
    `buf generate --output ${generated}`,
    `git diff --no-index --exit-code --stat ${generated}/proto/gen proto/gen`,
  ],
  arrows: [
    'depcruise --config .dependency-cruiser.cjs --output-type err packages services proto/gen helm/src e2e',
  ],
  'dead files': ['knip --no-progress'],
  licences: ['node scripts/licences.ts --check'],
  docs: ['node scripts/docs.ts --check', 'node helm/src/generate.ts --check'],
};

interface Outcome {
  readonly ok: boolean;
  readonly output: string;
}

function runCommand(command: string): Promise<Outcome> {
  const [program = '', ...args] = command.split(' ');
  return new Promise((resolve) => {
    execFile(program, args, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve({ ok: error === null, output: `$ ${command}\n${stdout}${stderr}` });
    });
  });
}

async function runStep(name: string, commands: readonly string[]): Promise<boolean> {
  const start = performance.now();
  const outcomes: Outcome[] = [];
  for (const command of commands) outcomes.push(await runCommand(command));
  const failed = outcomes.filter((outcome) => !outcome.ok);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${failed.length === 0 ? '✔' : '✖'} ${name} (${seconds} s)`);
  for (const { output } of failed) console.log(output.trimEnd());
  return failed.length === 0;
}

/** Two at a time: the type checker keeps one core busy while the others share the second. */
async function runAll(): Promise<number> {
  const waiting = Object.entries(steps);
  let failed = 0;
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (!(await runStep(...next))) failed++;
    }
  };
  await Promise.all([worker(), worker()]);
  return failed;
}

const failed = await runAll();
rmSync(generated, { recursive: true, force: true });
if (failed > 0) {
  console.log(`${failed} of ${Object.keys(steps).length} steps failed. "npm run format" mends formatting.`);
  process.exitCode = 1;
}
