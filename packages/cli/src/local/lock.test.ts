import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lock, tryLock } from './lock.ts';
import { identify, isRunning } from './process-identity.ts';

const folder = mkdtempSync(join(tmpdir(), 'pushfleet-lock-'));
after(() => rmSync(folder, { recursive: true }));

test('a process is known by its number and its start, and not once it is gone', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const identity = identify(child.pid as number);
  assert.ok(identity && isRunning(identity));
  assert.equal(isRunning({ ...identity, startedAt: 'another time' }), false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(isRunning(identity), false);
});

test('a lock is held by one, and free again after release', () => {
  const path = join(folder, 'one');
  const held = tryLock(path);
  assert.ok('release' in held);
  assert.deepEqual(tryLock(path), identify(process.pid));
  held.release();
  const again = tryLock(path);
  assert.ok('release' in again);
  again.release();
  assert.equal(existsSync(path), false);
});

test('whoever waits hears of the holder once, and gets the lock when it is released', async () => {
  const path = join(folder, 'waited');
  const held = tryLock(path);
  assert.ok('release' in held);
  const heard: number[] = [];
  const waiting = lock(path, ({ pid }) => {
    heard.push(pid);
    held.release();
  });
  (await waiting).release();
  assert.deepEqual(heard, [process.pid]);
});

const remains: readonly (readonly [what: string, content: string])[] = [
  ['of a process that is gone', JSON.stringify({ pid: process.pid, startedAt: 'long ago' })],
  ['that cannot be read', '{'],
];
for (const [what, content] of remains) {
  test(`a lock ${what} is taken over`, () => {
    const path = join(folder, 'stale');
    writeFileSync(path, content);
    const taken = tryLock(path);
    assert.ok('release' in taken);
    taken.release();
  });
}
