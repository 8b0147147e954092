// Every test of every workspace against real servers. Ends with what failed, and "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { exportServers, root } from './servers.ts';

process.chdir(root);
await exportServers();

interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Each as its place, its name and its error. */
  readonly failures: readonly string[];
}

interface Manifest {
  readonly workspaces: readonly string[];
  readonly scripts?: Readonly<Record<string, string>>;
}

const manifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

const tested = manifest(root)
  .workspaces.flatMap((pattern) => globSync(`${pattern}/package.json`))
  .map(dirname)
  .filter((folder) => manifest(folder).scripts?.test !== undefined);
for (const folder of tested) rmSync(join(folder, 'test-results.json'), { force: true });

const turbo = spawnSync(
  join(root, 'node_modules/.bin/turbo'),
  ['run', 'test', '--concurrency=2', '--continue=always', '--ui=stream', ...process.argv.slice(2)],
  { stdio: 'inherit', env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1' } },
);

const total = { passed: 0, failed: 0 };
for (const folder of tested) {
  const counts = read(folder);
  total.passed += counts.passed;
  total.failed += counts.failed;
  if (counts.failed > 0) console.log(`${folder}: ${counts.failed} failed`);
  for (const failure of counts.failures) console.log(`✖ ${folder}/${failure}`);
}
const failed = total.failed > 0 || total.passed === 0 || turbo.status !== 0;
if (failed && total.failed === 0)
  console.log(`The test run itself failed (turbo ended with ${turbo.status}).`);
process.exitCode = failed ? 1 : 0;
console.log(`${total.passed} passed, ${total.failed} failed`);

// A workspace that leaves no result died on the way: that is a failure, too.
function read(folder: string): Counts {
  try {
    return JSON.parse(readFileSync(join(folder, 'test-results.json'), 'utf8')) as Counts;
  } catch {
    console.log(`${folder} left no test results`);
    return { passed: 0, failed: 1, failures: [] };
  }
}
