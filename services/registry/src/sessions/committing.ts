import { PushfleetError } from '@pushfleet/core';
import { type SessionCommit, SessionCommitOutcome } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Written } from './hot-state.ts';
import type { Parts } from './parts.ts';
import { type Key, refOf } from './record.ts';

const outcomes: Readonly<Record<Written, SessionCommitOutcome>> = {
  stored: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_STORED,
  fenced: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_FENCED,
  lost: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LOST,
  large: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_TOO_LARGE,
};

/** Writes the hot state of one session. Never rejects. */
export async function commit(
  { hot, ledger, log }: Pick<Parts, 'hot' | 'ledger' | 'log'>,
  key: Key,
  wanted: SessionCommit,
): Promise<SessionCommitOutcome> {
  const ref = refOf(key);
  try {
    const written = await hot.commit(ref, wanted);
    if (written !== 'lost' || !wanted.whole) return outcomes[written];
    // Whose state is lost may have lost the session, too: the log says.
    const record = (await ledger.get(ref))?.record;
    const owned = record?.generation === wanted.generation && record.owner !== undefined;
    return outcomes[owned ? await hot.commit(ref, wanted, record.incarnation) : 'fenced'];
  } catch (error) {
    const known = PushfleetError.from(error);
    if (known.code !== 'unavailable') log.error({ err: error }, 'a session could not be committed');
    return SessionCommitOutcome.SESSION_COMMIT_OUTCOME_UNAVAILABLE;
  }
}
