import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root } from './local/state.ts';

const folder = mkdtempSync(join(tmpdir(), 'pushfleet bootstrap-'));
after(() => rmSync(folder, { recursive: true }));

function bootstrap(source: string, ...args: string[]) {
  const script = join(folder, 'script.ts');
  writeFileSync(script, source);
  const options = { encoding: 'utf8', cwd: folder } as const;
  return spawnSync(process.execPath, [join(root, 'bootstrap.mjs'), script, ...args], options);
}

test('a script gets its arguments as they are, and its exit code and output are those of the command', () => {
  const ran = bootstrap(
    'const args: string[] = process.argv.slice(2); console.log(JSON.stringify(args)); process.exitCode = 7;',
    'two words',
    '--flag',
    '',
  );
  assert.equal(ran.status, 7);
  assert.deepEqual(JSON.parse(ran.stdout), ['two words', '--flag', '']);
  assert.equal(ran.stderr, '');
});

test('what a script starts finds the Node that runs it first', () => {
  const ran = bootstrap("console.log(process.env.PATH?.split(':')[0] + '/node' === process.execPath)");
  assert.equal(ran.stdout, 'true\n');
});

test('without a script it says what to name', () => {
  const ran = spawnSync(process.execPath, [join(root, 'bootstrap.mjs')], { encoding: 'utf8' });
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, /node bootstrap\.mjs <script>/);
});
