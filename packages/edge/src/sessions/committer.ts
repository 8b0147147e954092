import type { Clock } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import { type SessionCommit, SessionCommitOutcome } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Log, SessionCalls } from '@pushfleet/runtime';
import { backoffMs } from './backoff.ts';
import { CommitQueue } from './commit-queue.ts';
import type { Holding } from './holding.ts';
import type { Loss } from './owned.ts';
import type { CommitMetrics } from './session-metrics.ts';

export interface CommitterOptions {
  readonly calls: Pick<SessionCalls, 'commit'>;
  readonly clock: Clock;
  readonly random: () => number;
  /** How long who asks for a commit waits for the registry, in milliseconds. */
  readonly patienceMs: number;
  readonly metrics: CommitMetrics;
  readonly log: Pick<Log, 'warn' | 'info'>;
  /** What comes in one turn travels together: runs this behind it. */
  readonly behind: (run: () => void) => void;
  /** The session is not this instance's any more. */
  onOver(holding: Holding, reason: Loss): void;
  /** The registry answers again that did not for a while. */
  onReturn(): void;
}

/** What one call holds: sessions, and bytes of their state; a last session may pass these. */
const batchCount = 1_000;
const batchBytes = 1_048_576;
/** Of a call's sessions those that are kept for what nobody waits for. */
const reserved = 250;
/** Calls under way at a time: a call costs as much as a hundred sessions in it, and two let nobody wait for a whole one. */
const callsAtOnce = 2;
/** Out of reach for so long, in milliseconds, the registry may have taken this instance for dead. */
const absenceMs = 5_000;

const passing: readonly string[] = ['unavailable', 'timeout', 'draining', 'rate_limited'];

type Batch = Holding[];

/** Brings the state of sessions to the registry, that of all sessions together: each has one commit under way at most. */
export class Committer {
  readonly #o: CommitterOptions;
  readonly #urgent = new CommitQueue();
  /** What nobody waits for. */
  readonly #idle = new CommitQueue();
  /** To be committed with the next tick. */
  #listed: Holding[] = [];
  /** To be tried again when the pause is over. */
  #later: Holding[] = [];
  readonly #underWay = new Set<Batch>();
  /** Calls that failed in a row, or had a session that was not to be stored at the moment. */
  #failures = 0;
  #failingSince: number | undefined;
  /** The registry did not answer, and is left alone. */
  #paused = false;
  #cancelRetry: (() => void) | undefined;
  #woken = false;
  #closed = false;

  constructor(options: CommitterOptions) {
    this.#o = options;
  }

  commit(holding: Holding): Promise<void> {
    if (holding.over !== undefined) return Promise.reject(holding.over);
    const done = holding.wait(this.#o.clock.now());
    this.#want(holding);
    return done;
  }

  commitSoon(holding: Holding): void {
    if (holding.over !== undefined) return;
    holding.dirty = true;
    if (holding.listed) return;
    holding.listed = true;
    this.#listed.push(holding);
  }

  /** Has the registry say whether the session is still held, and what is not committed yet committed. */
  check(holding: Holding): void {
    holding.dirty = true;
    this.#want(holding);
  }

  /** To be called twice a second. */
  tick(): void {
    const listed = this.#listed;
    if (listed.length > 0) this.#listed = [];
    for (const holding of listed) {
      holding.listed = false;
      if (holding.dirty) this.#want(holding);
    }
    this.#giveUp();
  }

  /** Nothing is sent any more. Whoever waits is to be told by `finish` of the holding. */
  close(): void {
    this.#closed = true;
    this.#cancelRetry?.();
  }

  #want(holding: Holding): void {
    const { over, underWay, queue } = holding;
    // Those that are tried again later wait in no queue of their own: `#later` knows them.
    if (over !== undefined || underWay || queue === this.#urgent || queue === this.#later) return;
    if (holding.isAwaited) this.#urgent.push(holding);
    else if (queue === undefined) this.#idle.push(holding);
    this.#wake();
  }

  #wake(): void {
    if (this.#woken || this.#paused || this.#underWay.size >= callsAtOnce) return;
    this.#woken = true;
    this.#o.behind(() => {
      this.#woken = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (!this.#closed && !this.#paused && this.#underWay.size < callsAtOnce) {
      const batch: Batch = [];
      const commits = this.#fill(batch);
      if (batch.length === 0) return;
      void this.#send(batch, commits);
    }
  }

  #fill(batch: Batch): readonly SessionCommit[] {
    const commits: SessionCommit[] = [];
    let bytes = 0;
    const take = (queue: CommitQueue, most: number): void => {
      for (let next = queue.peek(); next !== undefined && batch.length < most; next = queue.peek()) {
        if (bytes >= batchBytes || batch[0]?.alone === true || (next.alone && batch.length > 0)) return;
        queue.shift();
        const commit = this.#take(next);
        if (commit === undefined) continue;
        bytes += bytesOf(commit);
        batch.push(next);
        commits.push(commit);
      }
    };
    take(this.#urgent, this.#idle.peek() === undefined ? batchCount : batchCount - reserved);
    take(this.#idle, batchCount);
    take(this.#urgent, batchCount);
    return commits;
  }

  #take(holding: Holding): SessionCommit | undefined {
    try {
      return holding.take();
    } catch (thrown) {
      this.#o.log.warn({ err: thrown }, 'the state of a session cannot be told');
      holding.failed();
      holding.finish(PushfleetError.from(thrown));
      return undefined;
    }
  }

  async #send(batch: Batch, commits: readonly SessionCommit[]): Promise<void> {
    this.#underWay.add(batch);
    const begun = this.#o.clock.now();
    const answer = await this.#o.calls.commit(commits).catch((thrown) => PushfleetError.from(thrown));
    this.#underWay.delete(batch);
    this.#o.metrics.call(batch.length, this.#o.clock.now() - begun);
    if (answer instanceof PushfleetError) this.#failed(batch, answer);
    else this.#answered(batch, commits, answer);
    this.#pump();
  }

  #answered(
    batch: Batch,
    commits: readonly SessionCommit[],
    outcomes: readonly SessionCommitOutcome[],
  ): void {
    let isAway = false;
    for (const [index, holding] of batch.entries()) {
      const outcome = outcomes[index];
      if (!this.#settle(holding, outcome, commits[index]?.whole === true)) isAway = true;
    }
    if (isAway) this.#retryLater();
    else this.#isBack();
  }

  /** Says whether the registry could deal with it. */
  #settle(holding: Holding, outcome: SessionCommitOutcome | undefined, wasWhole: boolean): boolean {
    const { metrics } = this.#o;
    if (holding.over !== undefined) {
      holding.underWay = false;
    } else if (outcome === SessionCommitOutcome.SESSION_COMMIT_OUTCOME_STORED) {
      metrics.stored++;
      holding.stored();
      if (holding.isDue) this.#want(holding);
    } else if (outcome === SessionCommitOutcome.SESSION_COMMIT_OUTCOME_FENCED) {
      metrics.fenced++;
      holding.underWay = false;
      this.#o.onOver(holding, 'taken');
    } else if (outcome === SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LAPSED) {
      metrics.lapsed++;
      holding.underWay = false;
      this.#o.onOver(holding, 'lapsed');
    } else if (outcome === SessionCommitOutcome.SESSION_COMMIT_OUTCOME_TOO_LARGE) {
      metrics.tooLarge++;
      holding.refused(tooLarge());
      if (holding.isDue) this.#want(holding);
    } else if (outcome === SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LOST && !wasWhole) {
      metrics.lost++;
      holding.failed();
      this.#want(holding);
    } else {
      metrics.unavailable++;
      this.#putOff(holding);
      return false;
    }
    return true;
  }

  #failed(batch: Batch, error: PushfleetError): void {
    if (passing.includes(error.code)) {
      this.#o.metrics.unavailable += batch.length;
      for (const holding of batch) this.#putOff(holding);
      this.#paused = true;
      this.#retryLater();
      return;
    }
    this.#o.log.warn({ err: error, sessions: batch.length }, 'the registry refuses a commit of sessions');
    for (const holding of batch) {
      if (batch.length === 1) {
        holding.refused(error);
      } else {
        // One of them is at fault: the others are not to suffer for it.
        holding.alone = true;
        holding.failed();
      }
      if (holding.isDue) this.#want(holding);
    }
  }

  #putOff(holding: Holding): void {
    holding.failed();
    if (holding.over !== undefined) return;
    holding.queue = this.#later;
    this.#later.push(holding);
  }

  #retryLater(): void {
    this.#failingSince ??= this.#o.clock.now();
    if (this.#cancelRetry !== undefined || this.#closed) return;
    if (this.#failures === 0) this.#o.log.warn({}, 'the state of sessions cannot be committed at the moment');
    this.#cancelRetry = this.#o.clock.after(backoffMs(this.#failures++, this.#o.random), () => {
      this.#cancelRetry = undefined;
      this.#paused = false;
      const later = this.#later;
      this.#later = [];
      for (const holding of later) {
        if (holding.queue === later) holding.queue = undefined;
        this.#want(holding);
      }
      this.#giveUp();
      this.#wake();
    });
  }

  #isBack(): void {
    const since = this.#failingSince;
    if (since === undefined || this.#cancelRetry !== undefined) return;
    this.#failures = 0;
    this.#failingSince = undefined;
    const absentMs = this.#o.clock.now() - since;
    this.#o.log.info({ absentMs }, 'the state of sessions is committed again');
    if (absentMs >= absenceMs) this.#o.onReturn();
  }

  /** Tells those who have waited for too long. What they asked for is committed all the same, as soon as it can be. */
  #giveUp(): void {
    const then = this.#o.clock.now() - this.#o.patienceMs;
    for (const holding of this.#urgent) holding.giveUp(then, unreachable);
    for (const holding of this.#later) holding.giveUp(then, unreachable);
    for (const batch of this.#underWay) for (const holding of batch) holding.giveUp(then, unreachable);
  }
}

function bytesOf({ key, cursor = '', putFields }: SessionCommit): number {
  let bytes = 64 + (key?.id.length ?? 0) + cursor.length;
  for (const name in putFields) bytes += name.length + (putFields[name] as Buffer).length;
  return bytes;
}

const unreachable = (): PushfleetError =>
  new PushfleetError(
    'unavailable',
    'The registry, which keeps sessions, is out of reach; try again shortly.',
    {
      retryAfterMs: 1_000,
    },
  );
const tooLarge = (): PushfleetError =>
  new PushfleetError('payload_too_large', 'The session has more under way than the registry keeps of one.');
