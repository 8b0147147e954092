import { PushfleetError } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import type { Groups } from './groups.ts';
import type { HotState } from './hot-state.ts';
import type { SessionIndex } from './index.ts';
import type { SessionLedger } from './ledger.ts';
import type { Key } from './record.ts';
import type { Wills } from './wills.ts';

/** What the steps of a session's life are made of. */
export interface Parts {
  readonly ledger: SessionLedger;
  readonly hot: HotState;
  readonly index: SessionIndex;
  readonly groups: Groups;
  readonly wills: Wills;
  /**
   * Asks an instance to let a session go that is at a later generation now, or was ended; waits for half a second. Never
   * rejects.
   */
  letGo(instance: string, key: Key, generation: bigint, ended?: boolean): Promise<void>;
  readonly now: () => number;
  readonly log: Log;
}

/** How often a change is tried when others change the record at the same moment. */
export const attempts = 8;

export const over = ({ protocol, id }: Key, generation: bigint): PushfleetError =>
  new PushfleetError(
    'conflict',
    `The ${protocol} session ${JSON.stringify(id.slice(0, 80))} is not owned under generation ${generation} (any more).`,
  );

export const contended = ({ protocol, id }: Key): PushfleetError =>
  new PushfleetError(
    'conflict',
    `Others changed the ${protocol} session ${JSON.stringify(id.slice(0, 80))} at the same time, ${attempts} times. Try again.`,
    { retryAfterMs: 1_000 },
  );
