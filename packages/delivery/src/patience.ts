import { setTimeout as sleep } from 'node:timers/promises';
import { PushfleetError } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';

const firstWaitMs = 100;
const longestWaitMs = 5_000;

/** A wait was cut short: this worker stops. Whatever was under way is on record. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

/** What was cut short by the end of this worker is on record. */
export function unlessStopped(error: unknown): undefined {
  if (!(error instanceof Stopped)) throw error;
}

/**
 * Tries again, with jitter, until it succeeds: what must be read or written down cannot be given up. The log is told
 * once, by `what`.
 *
 * @throws Stopped when the worker closes; whatever is not a PushfleetError that can pass by itself
 */
export type Patiently = <T>(what: string, run: () => Promise<T>) => Promise<T>;

/** @param closing aborts when nothing is waited for any more */
export const createPatience =
  (closing: AbortSignal, log: Log): Patiently =>
  async (what, run) => {
    for (let failures = 0; ; failures++) {
      if (closing.aborted) throw new Stopped(what);
      try {
        return await run();
      } catch (error) {
        if (!passes(error)) throw error;
        if (failures === 0) log.warn({ err: error, what }, 'cannot be read or written down now; trying on');
        const waitMs = Math.min(firstWaitMs * 2 ** failures, longestWaitMs) * (0.5 + Math.random() / 2);
        await sleep(waitMs, undefined, { signal: closing }).catch(() => {});
      }
    }
  };

const passing: ReadonlySet<string> = new Set([
  'unavailable',
  'timeout',
  'storage_full',
  'rate_limited',
  'draining',
]);

const passes = (error: unknown): boolean => error instanceof PushfleetError && passing.has(error.code);
