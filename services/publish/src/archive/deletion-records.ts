import type { Ledger } from '@pushfleet/bus';
import { type Namespace, PushfleetError, type Topic } from '@pushfleet/core';

/** What was deleted of a topic: sequences of its shard, both ends included. */
export interface DeletedRange {
  readonly shard: number;
  readonly first: number;
  readonly last: number;
}

/** As the ledger keeps it, with when that was: Unix time in milliseconds. */
type Recorded = DeletedRange & { readonly at: number };

/** Longer than any delivery is tried. */
const keepMs = 7 * 86_400_000;
/** Most records of one topic; of more, the oldest are forgotten. */
const mostRecords = 1_000;
/** So many instances at once delete nothing of one topic; the caller tries again. */
const mostAttempts = 20;

/** Tells whoever delivers later what is not to be delivered any more: the ledger `deletions`, by namespace and topic. */
export class DeletionRecords {
  readonly #ledger: Ledger;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** @throws PushfleetError `unavailable` */
  async add(namespace: Namespace, topic: Topic, range: DeletedRange): Promise<void> {
    const key = `${namespace}/${topic}`;
    for (let attempt = 0; attempt < mostAttempts; attempt++) {
      const held = await this.#ledger.get(key);
      const merged = merge(held === undefined ? [] : parse(held.value), { ...range, at: Date.now() });
      try {
        const value = Buffer.from(JSON.stringify(merged));
        await this.#ledger.put(key, value, { ifRevision: held?.revision ?? 0, ttlMs: keepMs });
        return;
      } catch (error) {
        if (!(error instanceof PushfleetError) || error.code !== 'conflict') throw error;
      }
    }
    throw new PushfleetError('unavailable', 'Too much is deleted of this topic at once; delete it again.', {
      retryAfterMs: 1_000,
    });
  }
}

/** Without what is over, and what the new one covers. */
function merge(held: readonly Recorded[], added: Recorded): readonly Recorded[] {
  const covered = (one: Recorded) =>
    one.shard === added.shard && added.first <= one.first && one.last <= added.last;
  const kept = held.filter((one) => one.at > added.at - keepMs && !covered(one));
  return [...kept, added].slice(-mostRecords);
}

/** What cannot be read is none: it is written anew. */
function parse(value: Uint8Array): readonly Recorded[] {
  try {
    const list: unknown = JSON.parse(Buffer.from(value).toString());
    return Array.isArray(list) ? (list as Recorded[]) : [];
  } catch {
    return [];
  }
}
