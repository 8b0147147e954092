import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until the condition holds, for at most `ms` milliseconds. A condition that throws does not hold yet.
 *
 * @throws Error that says what was waited for; the last thing thrown is its cause
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms = 10_000,
): Promise<void> {
  const end = Date.now() + ms;
  let last: unknown;
  do {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await sleep(5);
  } while (Date.now() < end);
  throw new Error(`Waited ${ms} ms for ${what}, in vain.`, { cause: last });
}
