import type { Store } from '../redis.ts';
import { changeArguments } from './encoding.ts';
import type { Step } from './following.ts';
import { markOf, prefixOf } from './keys.ts';
import { applyScript } from './scripts.ts';

/**
 * Applies changes to Redis, one round trip for each namespace. Where Redis lacks what came before them it does nothing:
 * the next question finds the mark behind.
 *
 * @throws PushfleetError `unavailable`
 */
export async function applySteps(
  { store, era, now }: { readonly store: Store; readonly era: string; readonly now: () => number },
  steps: readonly Step[],
): Promise<void> {
  await Promise.all(
    steps.map(({ namespace, changes, previous, to }) => {
      const args = [prefixOf(namespace), era, '', previous, to, now(), ...changes.flatMap(changeArguments)];
      return store.run(applyScript, markOf(namespace), ...args);
    }),
  );
}
