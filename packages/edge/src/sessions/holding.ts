import type { PushfleetError } from '@pushfleet/core';
import type { SessionCommit, SessionKey } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { SessionKeeper } from './owned.ts';

/** Who waits for a commit: all that asked between two sendings share one promise. */
interface Waiter {
  readonly promise: Promise<void>;
  readonly since: number;
  /** It was sent: who comes now has to wait for another sending. */
  sent: boolean;
  resolve(): void;
  reject(error: PushfleetError): void;
}

/** What one session still has to commit, and who waits for it. */
export class Holding {
  readonly key: SessionKey;
  readonly generation: bigint;
  readonly keeper: SessionKeeper;
  /** In which queue it waits for its turn. */
  queue: object | undefined;
  /** It waits for the next tick. */
  listed = false;
  /** There is something to commit that nobody waits for. */
  dirty = false;
  /** The registry may have lost, or not have heard of, what was sent before. */
  whole = false;
  /** It travels alone: a call with it among others was refused. */
  alone = false;
  /** A call with a commit of it is under way. */
  underWay = false;
  /** Nothing of it is committed any more. */
  over: PushfleetError | undefined;
  readonly #waiters: Waiter[] = [];
  #number = 0n;
  #stored = 0n;
  /** Those of the waiters, from the first, that the commit under way is for. */
  #sent = 0;

  constructor(key: SessionKey, generation: bigint, keeper: SessionKeeper) {
    this.key = key;
    this.generation = generation;
    this.keeper = keeper;
  }

  /** The number of the last commit that the registry has said to have; 0: none. */
  get lastCommit(): bigint {
    return this.#stored;
  }

  /** There is something to commit, and it waits for no tick. */
  get isDue(): boolean {
    return this.isAwaited || (this.dirty && !this.listed);
  }

  get isAwaited(): boolean {
    return this.#waiters.length > 0;
  }

  /** Something is to be committed, or is being. */
  get isUnsettled(): boolean {
    return this.dirty || this.underWay || this.isAwaited;
  }

  wait(now: number): Promise<void> {
    const last = this.#waiters.at(-1);
    if (last?.sent === false) return last.promise;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiters.push({ promise, resolve, reject, since: now, sent: false });
    return promise;
  }

  /** The commit that is sent now. */
  take(): SessionCommit {
    const { key, generation, whole } = this;
    const { cursor, fields } = this.keeper.state(whole);
    this.underWay = true;
    this.dirty = false;
    this.whole = false;
    this.#sent = this.#waiters.length;
    for (const waiter of this.#waiters) waiter.sent = true;
    const commit: SessionCommit = {
      ...{ key, generation, whole, number: ++this.#number },
      ...{ putFields: {}, removeFields: [] },
    };
    if (cursor !== undefined) commit.cursor = cursor;
    for (const name in fields) {
      const value = fields[name];
      if (value !== undefined) commit.putFields[name] = asBuffer(value);
      else if (!whole) commit.removeFields.push(name);
    }
    return commit;
  }

  stored(): void {
    this.#stored = this.#number;
    this.underWay = false;
    this.alone = false;
    for (const { resolve } of this.#waiters.splice(0, this.#sent)) resolve();
    this.#sent = 0;
  }

  /** What was sent may not be stored: all of it goes with the next. */
  failed(): void {
    this.underWay = false;
    this.#sent = 0;
    this.whole = true;
    this.dirty = true;
  }

  /** What was sent is not stored, and will not be as it is. */
  refused(error: PushfleetError): void {
    this.underWay = false;
    this.alone = false;
    this.whole = true;
    for (const { reject } of this.#waiters.splice(0, this.#sent)) reject(error);
    this.#sent = 0;
  }

  /** Whoever has waited since `then` or longer waits no more. */
  giveUp(then: number, error: () => PushfleetError): void {
    for (let first = this.#waiters[0]; first !== undefined && first.since <= then; first = this.#waiters[0]) {
      this.#waiters.shift();
      // What it asked for is in the commit under way, or is still to be committed.
      if (this.#sent > 0) this.#sent--;
      else this.dirty = true;
      first.reject(error());
    }
  }

  finish(error: PushfleetError): void {
    this.over ??= error;
    this.dirty = false;
    for (const { reject } of this.#waiters.splice(0)) reject(error);
    this.#sent = 0;
  }
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
