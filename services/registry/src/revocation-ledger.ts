import { isDeepStrictEqual } from 'node:util';
import type { Ledger } from '@pushfleet/bus';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import {
  decodeRevocation,
  encodeRevocation,
  type Revocation,
  type RevocationEntry,
  revocationId,
  revocationKey,
  strengthen,
  type Terms,
} from './revocation.ts';

/** How often a change is tried again when others change the same revocation at the same moment. */
const attempts = 8;

/** Changes revocations in the log, each by compare-and-set. */
export class RevocationLedger {
  readonly #ledger: Ledger;
  readonly #now: () => number;

  constructor(ledger: Ledger, now: () => number) {
    this.#ledger = ledger;
    this.#now = now;
  }

  /**
   * Settles once the log holds the revocation. Of a target that is revoked already the stronger terms stay.
   *
   * @throws PushfleetError `conflict`, or `unavailable` without the log
   */
  revoke(
    namespace: Namespace,
    terms: Terms,
    by: string,
  ): Promise<{ readonly entry: RevocationEntry; readonly created: boolean }> {
    const id = revocationId(terms);
    const key = revocationKey(namespace, id);
    return this.#compareAndSet(async () => {
      const held = await this.#read(key);
      const created = held.revocation === undefined;
      const revocation = created
        ? { ...terms, createdAt: this.#now(), createdBy: by }
        : strengthen(held.revocation, terms);
      const revision = isDeepStrictEqual(revocation, held.revocation)
        ? held.revision
        : await this.#write(key, revocation, held.revision);
      return { entry: { namespace, id, revocation, revision }, created };
    });
  }

  /**
   * Takes a revocation away and returns the revision it had.
   *
   * @throws PushfleetError `not_found`, `conflict`, or `unavailable` without the log
   */
  lift(namespace: Namespace, id: string): Promise<number> {
    const key = revocationKey(namespace, id);
    return this.#compareAndSet(async () => {
      const held = await this.#read(key);
      if (held.revocation === undefined) throw notFound();
      await this.#ledger.delete(key, { ifRevision: held.revision });
      return held.revision;
    });
  }

  /** What the log holds now; no revocation where it has ended, but still the revision. */
  async #read(
    key: string,
  ): Promise<{ readonly revocation: Revocation | undefined; readonly revision: number }> {
    const held = await this.#ledger.get(key);
    if (held === undefined) return { revocation: undefined, revision: 0 };
    const revocation = decodeRevocation(held.value);
    const inForce = revocation.until > this.#now();
    return { revocation: inForce ? revocation : undefined, revision: held.revision };
  }

  #write(key: string, revocation: Revocation, ifRevision: number): Promise<number> {
    // Whole seconds, and never before the end; what is left over is refused by its `until`.
    const ttlMs = Math.ceil(Math.max(revocation.until - this.#now(), 1) / 1_000) * 1_000;
    return this.#ledger.put(key, encodeRevocation(revocation), { ifRevision, ttlMs });
  }

  async #compareAndSet<T>(change: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await change();
      } catch (error) {
        const lost = error instanceof PushfleetError && error.code === 'conflict';
        if (!lost || attempt === attempts) throw error;
      }
    }
  }
}

export function notFound(): PushfleetError {
  return new PushfleetError(
    'not_found',
    'There is no such revocation in this namespace: it was lifted, has ended, or never was.',
  );
}
