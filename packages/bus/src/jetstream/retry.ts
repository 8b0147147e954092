import { setTimeout as sleep } from 'node:timers/promises';
import { PushfleetError } from '@pushfleet/core';
import { Disconnected } from './link.ts';

/** A changing leader answers nothing for 4 to 7 s. */
const patienceMs = 12_000;
/** A lost connection mostly comes back within two. */
const disconnectedPatienceMs = 3_000;
const pauseMs = 200;

/**
 * Asks again while the log is out of reach, for as long as a leader change may take.
 *
 * @throws what `ask` threw last
 */
export async function patiently<T>(ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const begun = Date.now();
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof PushfleetError) || error.code !== 'unavailable' || signal?.aborted) throw error;
      const patience = error instanceof Disconnected ? disconnectedPatienceMs : patienceMs;
      if (Date.now() - begun > patience) throw error;
      await sleep(pauseMs * (0.5 + Math.random()), undefined, { ref: false });
    }
  }
}
