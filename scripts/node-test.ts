// Runs the *.test.ts files of the workspace it is started in, or those named as arguments, and leaves the counts,
// and what failed, in test-results.json, which scripts/test.ts adds up.
import { globSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { inspect } from 'node:util';

const named = process.argv.slice(2);
const files = globSync(named.length > 0 ? named : '**/*.test.ts', { exclude: ['**/node_modules/**'] }).map(
  (file) => resolve(file),
);
// A test may take this long, and its file a minute more; see test-watchdog.mjs.
const seconds = Number(process.env.TEST_FILE_SECONDS ?? 300);
const results = 'test-results.json';
const counts = { passed: 0, failed: 0, failures: [] as string[] };
const unfinished = new Set(files);

rmSync(results, { force: true });
if (files.length > 0) {
  const watchdog = join(import.meta.dirname, 'test-watchdog.mjs');
  const stream = run({ files, concurrency: 2, timeout: seconds * 1000, execArgv: ['--import', watchdog] });
  stream.on('test:summary', (summary) => {
    if (summary.file === undefined) return;
    unfinished.delete(summary.file);
    const { tests, passed, skipped, todo } = summary.counts;
    const failed = tests - passed - skipped - todo;
    counts.passed += passed;
    // A suite's hook or body that throws fails no test, only the file.
    counts.failed += failed === 0 && !summary.success ? 1 : failed;
  });
  stream.on('test:fail', ({ name, file = '', line, details: { error } }) => {
    // A suite whose tests failed says nothing that they do not say themselves.
    if ((error as { failureType?: string }).failureType === 'subtestsFailed') return;
    counts.failures.push(
      `${relative('.', file)}:${line} ${name}\n${inspect(error.cause ?? error).slice(0, 4000)}`,
    );
  });
  stream.compose(spec()).pipe(process.stdout);
  await new Promise((done) => stream.on('end', done));
}
// A file sums itself up when it has come to its end: not where it crashed, hung, left early or has no test.
for (const file of unfinished) {
  counts.failed++;
  counts.failures.push(`${relative('.', file)} did not run its tests to the end`);
  console.log(`✖ ${file} did not run its tests to the end`);
}
writeFileSync(results, JSON.stringify(counts));
if (counts.failed > 0) process.exitCode = 1;
