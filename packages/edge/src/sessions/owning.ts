import { PushfleetError } from '@pushfleet/core';
import type {
  AcquireSessionResponse,
  Session,
  SessionKey,
  SessionState,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { SessionCalls } from '@pushfleet/runtime';
import type { Committer } from './committer.ts';
import type { Holding } from './holding.ts';
import type { OwnedSession } from './owned.ts';

export interface OwningOptions {
  readonly calls: Pick<SessionCalls, 'update' | 'release' | 'end'>;
  readonly committer: Pick<Committer, 'commit' | 'commitSoon'>;
  readonly holding: Holding;
  /** Waits before what failed so many times is tried again. Rejects when it is not to be. */
  pause(failures: number): Promise<void>;
  now(): number;
  readonly patienceMs: number;
  /** Somebody else has it, which no commit says. */
  onFenced(): void;
  /** Nothing more is said of it. */
  onGone(): void;
}

/** A session of the registry in the hands of this instance. */
export class Owning implements OwnedSession {
  record: Session;
  readonly resumed: boolean;
  readonly state: SessionState | undefined;
  readonly holding: Holding;
  readonly #o: OwningOptions;
  /** Changes of the record are made one after the other. */
  #changes: Promise<unknown> = Promise.resolve();
  /** Of the last update that was sent. */
  #updates: bigint;
  #left: Promise<void> | undefined;

  constructor({ resumed, state }: AcquireSessionResponse, record: Session, options: OwningOptions) {
    this.record = record;
    this.#updates = record.lastUpdate;
    this.resumed = resumed;
    this.state = state;
    this.holding = options.holding;
    this.#o = options;
  }

  /** Its keeper has gone, and hears nothing any more: settles when it is given back. */
  get left(): Promise<void> | undefined {
    return this.#left;
  }

  commit(): Promise<void> {
    return this.#o.committer.commit(this.holding);
  }

  commitSoon(): void {
    this.#o.committer.commitSoon(this.holding);
  }

  async update(change: Parameters<OwnedSession['update']>[0]): Promise<Session> {
    const done = this.#changes.then(() => this.#update(change));
    this.#changes = done.catch(() => {});
    return await done;
  }

  async release(how: Parameters<OwnedSession['release']>[0]): Promise<void> {
    await this.#leave(
      () => this.#flush(),
      (key, generation) =>
        this.#o.calls.release({
          discardWill: false,
          ...how,
          ...{ key, generation, lastCommit: this.holding.lastCommit },
        }),
    );
  }

  async end({ discardWill }: { readonly discardWill: boolean }): Promise<void> {
    await this.#leave(
      () => this.#requireHeld(),
      (key, generation) => this.#o.calls.end({ key, generation, discardWill }),
    );
  }

  #leave(
    before: () => void | Promise<void>,
    call: (key: SessionKey, generation: bigint) => Promise<unknown>,
  ): Promise<void> {
    this.#requireHeld();
    if (this.#left !== undefined) throw released();
    const { holding, onGone } = this.#o;
    const leave = async (): Promise<void> => {
      try {
        await this.#changes;
        await before();
        holding.finish(released());
        await this.#insist(() => call(holding.key, holding.generation));
      } finally {
        holding.finish(released());
        onGone();
      }
    };
    this.#left = leave();
    return this.#left;
  }

  #requireHeld(): void {
    if (this.holding.over !== undefined) throw this.holding.over;
  }

  async #update(change: Parameters<OwnedSession['update']>[0]): Promise<Session> {
    const { key, generation } = this.holding;
    const nothing = { addFilters: [], removeFilters: [], willChange: undefined, attributes: {} };
    const until = this.#o.now() + this.#o.patienceMs;
    // Of an update that is repeated: the registry applies it once, and not behind a later one.
    const number = ++this.#updates;
    for (let failures = 0; ; failures++) {
      this.#requireHeld();
      try {
        this.record = await this.#o.calls.update({ ...nothing, ...change, key, generation, number });
        return this.record;
      } catch (thrown) {
        const error = PushfleetError.from(thrown);
        if (error.code === 'conflict') {
          // A commit says why the generation is over, and tells who is to know.
          await this.commit();
          // The log has another owner, whom Redis does not know yet.
          this.#o.onFenced();
        }
        if (!['unavailable', 'timeout'].includes(error.code) || this.#o.now() >= until) throw error;
        await this.#o.pause(failures);
      }
    }
  }

  /** What is not stored is repeated to the client: that is no reason to keep the session from the next owner. */
  async #flush(): Promise<void> {
    this.#requireHeld();
    if (!this.holding.isUnsettled) return;
    try {
      await this.commit();
    } catch (thrown) {
      if (this.holding.over !== undefined) throw thrown;
    }
  }

  /** Tries until the registry has answered: nobody else gives the session back while this instance lives. */
  async #insist(call: () => Promise<unknown>): Promise<void> {
    for (let failures = 0; ; failures++) {
      try {
        await call();
        return;
      } catch (thrown) {
        const error = PushfleetError.from(thrown);
        const isOver = error.code === 'conflict' || error.code === 'not_found';
        // It was done, and not heard of.
        if (isOver && failures > 0) return;
        if (isOver || !passing.includes(error.code)) throw error;
        await this.#o.pause(failures);
      }
    }
  }
}

const passing: readonly string[] = ['unavailable', 'timeout', 'draining', 'rate_limited', 'internal'];

const released = (): PushfleetError =>
  new PushfleetError('conflict', 'The session was given back by this connection.');
