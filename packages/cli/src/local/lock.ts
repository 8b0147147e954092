import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isRunning, type ProcessIdentity } from './process-identity.ts';

/** Held until `release`; one whose holder died is taken over. */
export interface Lock {
  release(): void;
}

/** Takes the lock file, or answers with the living process that holds it. */
export function tryLock(path: string): Lock | ProcessIdentity {
  mkdirSync(dirname(path), { recursive: true });
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(identify(process.pid)));
  try {
    // A hard link appears whole or not at all, so nobody ever reads half a lock.
    for (let attempt = 0; ; attempt++) {
      try {
        linkSync(mine, path);
        return { release: () => rmSync(path, { force: true }) };
      } catch (error) {
        const holder = read(path);
        if (holder !== undefined && isRunning(holder)) return holder;
        if (attempt === 10) throw error;
        removeStale(path);
      }
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Waits for the lock; `onWait` hears once whom it waits for. */
export async function lock(path: string, onWait: (holder: ProcessIdentity) => void): Promise<Lock> {
  for (let waited = false; ; waited = true) {
    const got = tryLock(path);
    if ('release' in got) return got;
    if (!waited) onWait(got);
    await sleep(200);
  }
}

// Between reading a dead holder and removing its lock somebody else may have taken over: what was moved away
// is looked at again, and a living holder's lock is put back.
function removeStale(path: string): void {
  const moved = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, moved);
    const holder = read(moved);
    if (holder !== undefined && isRunning(holder)) linkSync(moved, path);
  } catch {
    // It is gone already, or taken again: the next attempt sees which.
  }
  rmSync(moved, { force: true });
}

function read(path: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}
