import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from './child.ts';

export interface PollOptions {
  /** What is waited for, as it stands behind "waited for". */
  readonly what: string;
  readonly ms: number;
  /** Its end ends the waiting. */
  readonly child?: Child;
}

/**
 * Waits until the condition holds; a condition that throws does not hold yet.
 *
 * @throws Error that says what was waited for, and the child's last lines
 */
export async function poll(condition: () => boolean | Promise<boolean>, o: PollOptions): Promise<void> {
  const end = Date.now() + o.ms;
  let last: unknown;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    if (o.child?.running === false)
      throw new Error(
        `It ended while we waited for ${o.what}. Its last words:\n${lastLines(o.child.output())}`,
      );
    if (Date.now() > end) break;
    await sleep(20);
  }
  const words = o.child === undefined ? '' : `\n${lastLines(o.child.output())}`;
  const reason = last instanceof Error ? ` ${last.message}` : '';
  throw new Error(`Waited ${o.ms / 1000} s for ${o.what}, in vain.${reason}${words}`, { cause: last });
}

/** The end of a log, enough to see why a process died. */
export const lastLines = (text: string, count = 25): string =>
  text.trimEnd().split('\n').slice(-count).join('\n');
