import { PushfleetError } from '@pushfleet/core';
import {
  type Session,
  type SessionCommit,
  SessionCommitOutcome,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Commit, Written } from './hot-state.ts';
import type { Parts } from './parts.ts';
import { type Key, type Ref, refOf } from './record.ts';

const outcomes: Readonly<Record<Written | 'lapsed', SessionCommitOutcome>> = {
  stored: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_STORED,
  fenced: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_FENCED,
  lost: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LOST,
  large: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_TOO_LARGE,
  lapsed: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LAPSED,
};

type Needed = Pick<Parts, 'hot' | 'ledger' | 'log' | 'now'>;

/** For so long a session that has just lost its owner may be on its way to another, in milliseconds. */
const onItsWayMs = 3_000;

/** Writes the hot state of sessions; says what became of each, in their order. Never rejects. */
export async function commit(
  parts: Needed,
  keys: readonly Key[],
  commits: readonly SessionCommit[],
): Promise<readonly SessionCommitOutcome[]> {
  const wanted = commits.map((one, at) => ({ ref: refOf(keys[at] as Key), commit: one }));
  try {
    const written = await parts.hot.commit(wanted);
    return await Promise.all(
      written.map((what, at) => {
        const one = wanted[at] as Commit;
        if (what === 'fenced') return over(parts, one.ref);
        return what === 'lost' && one.commit.whole ? anew(parts, one) : outcomes[what];
      }),
    );
  } catch (error) {
    const outcome = failed(parts, error);
    return wanted.map(() => outcome);
  }
}

/** Whose state is lost may have lost the session, too: the log says. */
async function anew(parts: Needed, { ref, commit: wanted }: Commit): Promise<SessionCommitOutcome> {
  try {
    const record = (await parts.ledger.get(ref))?.record;
    if (record?.owner === undefined) return abandoned(parts, record);
    if (record.generation !== wanted.generation) return outcomes.fenced;
    const { incarnation } = record;
    const [written = 'lost'] = await parts.hot.commit([{ ref, commit: wanted, incarnation }]);
    return outcomes[written];
  } catch (error) {
    return failed(parts, error);
  }
}

/** Why the generation is over. The log knows before the index does, so whoever took the session stands there. */
async function over(parts: Needed, ref: Ref): Promise<SessionCommitOutcome> {
  try {
    const record = (await parts.ledger.get(ref))?.record;
    return record?.owner === undefined ? abandoned(parts, record) : outcomes.fenced;
  } catch (error) {
    return failed(parts, error);
  }
}

/**
 * Nobody has the session. Whoever takes one over that has a will enters first that the former connection is gone, then publishes it,
 * then enters itself: until that is done, who asks is to ask again.
 */
function abandoned({ now }: Needed, record: Session | undefined): SessionCommitOutcome {
  const since = record?.releasedAt?.getTime() ?? 0;
  return Math.abs(now() - since) < onItsWayMs
    ? SessionCommitOutcome.SESSION_COMMIT_OUTCOME_UNAVAILABLE
    : outcomes.lapsed;
}

function failed({ log }: Needed, error: unknown): SessionCommitOutcome {
  const known = PushfleetError.from(error);
  if (known.code !== 'unavailable') log.error({ err: error }, 'sessions could not be committed');
  return SessionCommitOutcome.SESSION_COMMIT_OUTCOME_UNAVAILABLE;
}
