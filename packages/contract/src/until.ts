import { setTimeout as sleep } from 'node:timers/promises';

/** What one look at the condition takes of the patience at most: while the whole machine stood still, nothing could come. */
const mostMs = 1_000;

/**
 * Waits until the condition holds, for `ms` milliseconds. A condition that throws does not hold yet.
 *
 * The patience is long: a busy machine is no failure, and only a test that fails waits it out.
 *
 * @throws Error that says what was waited for; the last thing thrown is its cause
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms = 60_000,
): Promise<void> {
  let last: unknown;
  for (let left = ms, before = performance.now(); left > 0; ) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await sleep(5);
    const now = performance.now();
    left -= Math.min(now - before, mostMs);
    before = now;
  }
  throw new Error(`Waited ${ms} ms in vain: ${what}.`, { cause: last });
}
