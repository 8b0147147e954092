// Runs the *.test.ts files of the workspace it is started in and leaves the counts in test-results.json,
// which scripts/test.ts adds up.
import { globSync, writeFileSync } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const only = process.argv.slice(2);
const files = globSync(only.length > 0 ? only : 'src/**/*.test.ts');
const counts = { passed: 0, failed: 0 };
const stream = run({ files, concurrency: 2, timeout: 480_000 });
stream.on('test:pass', (test) => {
  if (test.details.type !== 'suite' && test.skip === undefined) counts.passed++;
});
stream.on('test:fail', (test) => {
  if (test.details.type === 'suite') return;
  counts.failed++;
  process.exitCode = 1;
});
stream.compose(spec()).pipe(process.stdout);
stream.on('end', () => writeFileSync('test-results.json', JSON.stringify(counts)));
