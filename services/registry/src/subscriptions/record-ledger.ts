import type { Ledger } from '@pushfleet/bus';
import { type Namespace, PushfleetError, quote } from '@pushfleet/core';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { checkSize } from './check-record.ts';
import { decodeRecord, hasEnded, recordKey } from './record.ts';

/** Records that are read at the same time for one batch. */
const readsAtOnce = 100;
/** How often an end without a revision is tried again when others change the record at the same moment. */
const attempts = 8;

/** The records in the log, their secrets sealed; each change is a compare-and-set. A record whose lease has ended is none. */
export class RecordLedger {
  readonly #ledger: Ledger;
  readonly #now: () => number;

  constructor(ledger: Ledger, now: () => number) {
    this.#ledger = ledger;
    this.#now = now;
  }

  async get(namespace: Namespace, id: string): Promise<Subscription | undefined> {
    const held = await this.#held(namespace, id);
    return held === undefined || hasEnded(held, this.#now()) ? undefined : held;
  }

  /** Those that exist. */
  async getMany(namespace: Namespace, ids: readonly string[]): Promise<readonly Subscription[]> {
    const found: Subscription[] = [];
    const left = [...new Set(ids)];
    const readOn = async (): Promise<void> => {
      for (let id = left.pop(); id !== undefined; id = left.pop()) {
        const record = await this.get(namespace, id);
        if (record !== undefined) found.push(record);
      }
    };
    await Promise.all(Array.from({ length: Math.min(readsAtOnce, left.length) }, readOn));
    return found;
  }

  /** @throws PushfleetError `conflict` where there is one with this id */
  async create(record: Subscription): Promise<Subscription> {
    try {
      return await this.#put(record, 0);
    } catch (error) {
      if (!isConflict(error)) throw error;
      const held = await this.#held(record.namespace, record.id);
      // Ended, and not yet removed by the broker.
      if (held !== undefined && hasEnded(held, this.#now())) return this.#put(record, Number(held.revision));
      throw taken(record.id);
    }
  }

  /** Replaces the record that is at `record.revision`. @throws PushfleetError `conflict`, `not_found` */
  async replace(record: Subscription): Promise<Subscription> {
    try {
      return await this.#put(record, Number(record.revision));
    } catch (error) {
      if (!isConflict(error)) throw error;
      const held = await this.get(record.namespace as Namespace, record.id);
      throw held === undefined ? notFound(record.id) : changed(held, record.revision);
    }
  }

  /** Returns the record that ended; undefined where there was none. @throws PushfleetError `conflict` */
  async delete(namespace: Namespace, id: string, ifRevision?: number): Promise<Subscription | undefined> {
    for (let attempt = 1; ; attempt++) {
      const held = await this.get(namespace, id);
      if (held === undefined) return undefined;
      if (ifRevision !== undefined && Number(held.revision) !== ifRevision) {
        throw changed(held, BigInt(ifRevision));
      }
      try {
        await this.#ledger.delete(recordKey(namespace, id), { ifRevision: Number(held.revision) });
        return held;
      } catch (error) {
        if (!isConflict(error) || attempt === attempts) throw error;
      }
    }
  }

  async #held(namespace: string, id: string): Promise<Subscription | undefined> {
    const held = await this.#ledger.get(recordKey(namespace, id));
    return held === undefined ? undefined : decodeRecord(held.value, held.revision);
  }

  async #put(record: Subscription, ifRevision: number): Promise<Subscription> {
    const bytes = checkSize({ ...record, revision: 0n });
    const { expiresAt } = record;
    // Whole seconds, and never before the end; what is left over is refused by its own date.
    const ttl =
      expiresAt === undefined
        ? {}
        : { ttlMs: Math.ceil(Math.max(expiresAt.getTime() - this.#now(), 1) / 1_000) * 1_000 };
    const key = recordKey(record.namespace, record.id);
    const revision = await this.#ledger.put(key, bytes, { ifRevision, ...ttl });
    return { ...record, revision: BigInt(revision) };
  }
}

const isConflict = (error: unknown): boolean => error instanceof PushfleetError && error.code === 'conflict';

export const notFound = (id: string): PushfleetError =>
  new PushfleetError(
    'not_found',
    `There is no subscription ${quote(id)} in this namespace: it was ended, its lease has ended, or it never was.`,
  );

const taken = (id: string): PushfleetError =>
  new PushfleetError(
    'conflict',
    `There is a subscription ${quote(id)} in this namespace already; read it, and update it by its revision.`,
  );

export const changed = ({ id, revision }: Subscription, wanted: bigint): PushfleetError =>
  new PushfleetError(
    'conflict',
    `The subscription ${quote(id)} is at revision ${revision}, not ${wanted}: somebody else changed it. Read it again.`,
    { detail: { revision: String(revision) } },
  );
