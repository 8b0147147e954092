import type { Ledger } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import type { Session } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { decodeRecord, encodeRecord, type Held, keyOf, newGeneration, type Ref, refOf } from './record.ts';

/** Records that are read at the same time for one list. */
const readsAtOnce = 100;

/**
 * The records in the log; each change is a compare-and-set. The generation of a record is the revision at which it was
 * written with a new one: it grows over the end of a session, too, so that no write of an earlier one fits a later.
 */
export class SessionLedger {
  readonly #ledger: Ledger;
  readonly #mostBytes: number;

  constructor(ledger: Ledger, mostBytes: number) {
    this.#ledger = ledger;
    this.#mostBytes = mostBytes;
  }

  /** @throws PushfleetError `unavailable` */
  async get(ref: Ref): Promise<Held | undefined> {
    const held = await this.#ledger.get(ref);
    return held === undefined ? undefined : decodeRecord(ref, held.value, held.revision);
  }

  /** In the order of the refs; undefined where there is none. */
  async getMany(refs: readonly Ref[]): Promise<readonly (Held | undefined)[]> {
    const found: (Held | undefined)[] = new Array(refs.length);
    let next = 0;
    const readOn = async (): Promise<void> => {
      for (let at = next++; at < refs.length; at = next++) found[at] = await this.get(refs[at] as Ref);
    };
    await Promise.all(Array.from({ length: Math.min(readsAtOnce, refs.length) }, readOn));
    return found;
  }

  /**
   * Replaces what is at `ifRevision`, 0 where there is nothing; a generation of 0 is a new one. Undefined: it is at another
   * revision.
   *
   * @throws PushfleetError `payload_too_large`, `unavailable`
   */
  async put(record: Session, ifRevision: number): Promise<Held | undefined> {
    const value = encodeRecord(record);
    if (value.length > this.#mostBytes) throw tooLarge(value.length, this.#mostBytes);
    const ref = refOf(keyOf(record));
    const revision = await unlessConflict(this.#ledger.put(ref, value, { ifRevision }));
    if (revision === undefined) return undefined;
    const generation = record.generation === newGeneration ? BigInt(revision) : record.generation;
    return { ref, revision, record: { ...record, generation } };
  }

  /** Says whether it did: not where it is at another revision. @throws PushfleetError `unavailable` */
  async delete({ ref, revision }: Held): Promise<boolean> {
    const done = this.#ledger.delete(ref, { ifRevision: revision }).then(() => true);
    return (await unlessConflict(done)) ?? false;
  }
}

async function unlessConflict<T>(change: Promise<T>): Promise<T | undefined> {
  try {
    return await change;
  } catch (error) {
    if (error instanceof PushfleetError && error.code === 'conflict') return undefined;
    throw error;
  }
}

const tooLarge = (bytes: number, limit: number): PushfleetError =>
  new PushfleetError(
    'payload_too_large',
    `The session's record would be ${bytes} bytes, and ${limit} is the most; it needs fewer filters, or a smaller will.`,
    { detail: { limit } },
  );
