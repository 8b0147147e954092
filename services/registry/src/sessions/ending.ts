import { PushfleetError } from '@pushfleet/core';
import type {
  EndSessionRequest,
  ReleaseSessionRequest,
  Session,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { attempts, contended, over, type Parts } from './parts.ts';
import {
  dueAt,
  endsAt,
  groupsOf,
  type Held,
  hasEnded,
  type Key,
  keyOf,
  newGeneration,
  type Ref,
  refOf,
  released,
  willDueAt,
} from './record.ts';

/** How connections and sessions end: by their owner, by a manager, and by the time that has come. */
export class Ending {
  readonly counts = { released: 0, ended: 0, orphaned: 0 };
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * The connection is gone. Repeated it answers the same, unless the session has ended since.
   *
   * @returns when the session ends
   * @throws PushfleetError `conflict`, `unavailable`
   */
  async release(key: Key, request: ReleaseSessionRequest): Promise<Date> {
    const { generation, discardWill, expirySeconds, cursor, lastCommit } = request;
    const { ledger, index, now } = this.#parts;
    for (let attempt = 0; attempt < attempts; attempt++) {
      const held = await ledger.get(refOf(key));
      if (held?.record.generation !== generation) throw over(key, generation);
      if (held.record.owner === undefined) {
        await this.settle(held);
        return held.record.expiresAt as Date;
      }
      const { owner } = held.record;
      const next = released(
        {
          ...{ ...held.record, lastCommit },
          ...(discardWill && { will: undefined }),
          ...(cursor !== undefined && { cursor }),
        },
        now(),
        expirySeconds === undefined ? {} : { expirySeconds },
      );
      const stored = await this.#replace(held, next);
      if (stored === undefined) continue;
      this.counts.released++;
      await index.disown(held.ref, owner.instanceId, stored.revision);
      return next.expiresAt as Date;
    }
    throw contended(key);
  }

  /**
   * Ends a session; none there is no error where no generation is named.
   *
   * @throws PushfleetError `conflict`, `unavailable`
   */
  async end(key: Key, { generation, discardWill }: EndSessionRequest): Promise<void> {
    const { ledger, index, now } = this.#parts;
    for (let attempt = 0; attempt < attempts; attempt++) {
      const held = await ledger.get(refOf(key));
      if (generation !== undefined && held?.record.generation !== generation) throw over(key, generation);
      if (held === undefined) return;
      const { owner, ...record } = held.record;
      const will = discardWill ? undefined : record.will;
      const next = { ...released(record, now(), { expirySeconds: 0 }), will };
      const stored = await this.#replace(held, { ...next, generation: newGeneration });
      if (stored === undefined) continue;
      if (owner === undefined) return;
      await index.disown(held.ref, owner.instanceId, stored.revision);
      if (generation === undefined)
        await this.#parts.letGo(owner.instanceId, key, held.record.generation + 1n, true);
      return;
    }
    throw contended(key);
  }

  /**
   * Releases a session from an instance that is dead, or from one that another is about to take it over from. Undefined where
   * others changed it at the same moment.
   *
   * @param since when the connection was lost, in Unix milliseconds; now where it is not said
   */
  async orphan(held: Held, since = this.#parts.now()): Promise<Held | undefined> {
    const { ledger, index, hot } = this.#parts;
    const next = { ...released(held.record, since), generation: newGeneration };
    await index.due(held.ref, dueAt(next) as number);
    const stored = await ledger.put(next, held.revision);
    if (stored === undefined) return undefined;
    this.counts.orphaned++;
    await Promise.all([hot.fence(stored), index.due(held.ref, dueAt(next) as number)]);
    return stored;
  }

  /**
   * Does what is due of a released session, and says what it is then.
   *
   * @throws PushfleetError `unavailable`, `storage_full` and what else trying again may help; what is due stays so
   */
  async settle(held: Held): Promise<Held | 'ended' | 'changed'> {
    const { ledger, wills, now } = this.#parts;
    let settled = held;
    if ((willDueAt(held.record) ?? Number.POSITIVE_INFINITY) <= now()) {
      await wills.publish(held.record);
      const without = { ...held.record, will: undefined };
      // Who ends it need not write first that it has no will any more.
      if (!hasEnded(without, now()) || !(await this.#isFindable(held))) {
        const stored = await ledger.put(without, held.revision);
        if (stored === undefined) return 'changed';
        settled = stored;
      }
    }
    if (!hasEnded(settled.record, now()) || !(await this.#isFindable(settled))) return settled;
    if (!(await this.#remove(settled, endsAt(settled.record) as number))) return 'changed';
    this.counts.ended++;
    return 'ended';
  }

  /**
   * Whether what the index and the hot state have of a session that ends is found again should it not be cleared away now.
   * Without Redis it is not, so the log keeps the record, by which the index is filled when Redis is back.
   */
  async #isFindable({ ref, record }: Held): Promise<boolean> {
    return this.#parts.index.due(ref, dueAt(record) as number);
  }

  /** What is left of a session that the log does not have any more. */
  async clear(ref: Ref): Promise<void> {
    const { hot, ledger } = this.#parts;
    const generation = await hot.generation(ref);
    if (generation !== undefined && (await ledger.get(ref)) === undefined) await hot.drop(ref, generation);
  }

  /** Writes a released record and does what is due. A failure of the latter is the sweeper's to make good. */
  async #replace(held: Held, next: Session): Promise<Held | undefined> {
    const { ledger, index, now, log } = this.#parts;
    const hinted = await index.due(held.ref, dueAt(next) as number);
    const silent = next.will === undefined && groupsOf(next).length === 0;
    if (silent && hinted && hasEnded(next, now())) {
      if (!(await this.#remove(held, dueAt(next) as number))) return undefined;
      this.counts.ended++;
      return { ...held, record: { ...next, generation: held.record.generation } };
    }
    const stored = await ledger.put(next, held.revision);
    if (stored === undefined) return undefined;
    const settled = await this.settle(stored).catch((error: unknown) => {
      log.debug({ err: PushfleetError.from(error) }, 'what is due of a session has to wait');
      return stored;
    });
    if (typeof settled === 'object') await index.due(held.ref, dueAt(settled.record) as number);
    return stored;
  }

  /** The log forgets it first; says whether it did. `at`: when the index has it as due. */
  async #remove(held: Held, at: number): Promise<boolean> {
    const { ref, record } = held;
    const { ledger, hot, groups, index } = this.#parts;
    const key = keyOf(record);
    // It has ended already where it is in one; behind the log nobody would know of them.
    await groups.leave(key, record.filters);
    if (!(await ledger.delete(held))) {
      // Who has it now may have joined again before that.
      const other = await ledger.get(ref);
      if (other !== undefined) await groups.enter(other);
      return false;
    }
    // Without Redis the index keeps a hint of it, by which the sweeper clears it away.
    const dropped = await hot.drop(ref, record.generation).then(
      () => true,
      () => false,
    );
    await this.unname(key);
    if (dropped) await index.next({ ref, at: String(at) }, undefined);
    return true;
  }

  /** Takes the name of a session that has ended off the list, unless another has come meanwhile. */
  async unname(key: Key): Promise<void> {
    const { index, ledger } = this.#parts;
    await index.unname(key);
    if ((await ledger.get(refOf(key))) !== undefined) await index.name(key);
  }
}
