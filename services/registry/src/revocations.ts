import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger, LedgerEntry } from '@pushfleet/bus';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import { type Grant, type Log, type Part, type RevocationList, Revocations } from '@pushfleet/runtime';
import {
  decodeRevocation,
  parseRevocationKey,
  type RevocationEntry,
  revocationId,
  revocationKey,
  type Terms,
} from './revocation.ts';
import type { RevocationIndex } from './revocation-index.ts';
import { RevocationLedger } from './revocation-ledger.ts';
import { type Change, RevocationTable } from './revocation-table.ts';

export interface RegisterOptions {
  readonly ledger: Ledger;
  readonly index: RevocationIndex;
  readonly log: Log;
  /** Most revocations of one namespace. */
  readonly most: number;
  readonly now?: () => number;
}

const retryMs = 1_000;
const sweepMs = 10_000;

/**
 * The revocations of the fleet. The log has the truth and is written first; this instance and every other
 * follow it, and the index in Redis follows them.
 */
export class RevocationRegister implements Part, RevocationList {
  readonly name = 'revocations';
  readonly #options: RegisterOptions;
  readonly #ledger: RevocationLedger;
  readonly #table: RevocationTable;
  readonly #checks: Revocations;
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #closed = new AbortController();
  /** The keys of the log's snapshot until it is complete. */
  #snapshot: Set<string> | undefined = new Set();
  #known = false;
  /** Settles when the index is made good: a change meanwhile is written behind it, or what was before would undo it. */
  #made: Promise<void> = Promise.resolve();
  #following: { stop(): void } | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: RegisterOptions) {
    const now = options.now ?? Date.now;
    this.#options = options;
    this.#ledger = new RevocationLedger(options.ledger, now);
    this.#table = new RevocationTable(now);
    this.#checks = new Revocations({ now });
  }

  get size(): number {
    return this.#table.size;
  }

  /** Begins to follow the log, and does not wait for it. */
  async start(): Promise<void> {
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs).unref();
    void this.#follow();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed.abort();
    clearInterval(this.#sweeper);
    this.#following?.stop();
  }

  ready(): string | undefined {
    return this.#known
      ? undefined
      : 'it is not known which tokens are revoked: neither NATS nor Redis has said';
  }

  /** @throws PushfleetError `unavailable` while it is not known which tokens are revoked */
  revoked(grant: Grant): boolean {
    this.#requireKnown();
    return this.#checks.revoked(grant);
  }

  onRevoked(on: () => void): () => void {
    return this.#checks.onRevoked(on);
  }

  /**
   * Revokes; settles once the log holds it and this instance refuses the tokens.
   *
   * @throws PushfleetError `storage_full`, `conflict`, or `unavailable` without the log
   */
  async revoke(
    namespace: Namespace,
    terms: Terms,
    by: string,
  ): Promise<{ readonly entry: RevocationEntry; readonly created: boolean }> {
    if (!this.#table.has(revocationKey(namespace, revocationId(terms)))) this.#requireRoom(namespace);
    const result = await this.#ledger.revoke(namespace, terms, by);
    this.#snapshot?.add(revocationKey(namespace, result.entry.id));
    this.#apply(this.#table.put(result.entry));
    return result;
  }

  /** @throws PushfleetError `not_found`, `conflict`, or `unavailable` without the log */
  async lift(namespace: Namespace, id: string): Promise<void> {
    const revision = await this.#ledger.lift(namespace, id);
    // The deletion's own revision is at least the next one, and comes with the change that the log sends.
    this.#apply(this.#table.remove(revocationKey(namespace, id), revision + 1));
  }

  /** A namespace's revocations in the order of their ids, from behind `after`. */
  list(namespace: Namespace, after: string, limit: number): readonly RevocationEntry[] {
    this.#requireKnown();
    return this.#table
      .entries()
      .filter((entry) => entry.namespace === namespace && entry.id > after)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit);
  }

  /**
   * The revocations of all namespaces, and `on` for every change after them.
   *
   * @throws PushfleetError `unavailable` while they are not known
   */
  watch(on: (change: Change) => void): { readonly snapshot: readonly RevocationEntry[]; stop(): void } {
    this.#requireKnown();
    this.#listeners.add(on);
    return { snapshot: this.#table.entries(), stop: () => this.#listeners.delete(on) };
  }

  /** To be called when Redis answers, again or for the first time, and when it was emptied. */
  indexReturned(): Promise<void> {
    this.#made = this.#made.then(() => this.#makeGood());
    return this.#made;
  }

  async #makeGood(): Promise<void> {
    try {
      if (this.#snapshot === undefined) await this.#options.index.rebuild(this.#table.entries());
      else await this.#load();
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the index of revocations could not be used');
    }
  }

  /** What Redis knows serves until the log has answered. */
  async #load(): Promise<void> {
    const entries = await this.#options.index.load();
    if (entries === undefined || this.#snapshot === undefined) return;
    for (const entry of entries) this.#table.put(entry);
    this.#know();
  }

  async #follow(): Promise<void> {
    for (let failures = 0; !this.#closed.signal.aborted; failures++) {
      try {
        this.#following = await this.#options.ledger.watch((entry) => this.#receive(entry));
        return this.#complete();
      } catch (error) {
        const line = 'the revocations cannot be read from the log; trying on';
        if (failures === 0) this.#options.log.warn({ err: error }, line);
        await sleep(retryMs, undefined, { signal: this.#closed.signal }).catch(() => {});
      }
    }
  }

  #complete(): void {
    if (this.#closed.signal.aborted) this.#following?.stop();
    const keys = this.#snapshot ?? new Set();
    for (const change of this.#table.retain(keys)) this.#apply(change);
    this.#snapshot = undefined;
    this.#know();
    void this.indexReturned();
  }

  #know(): void {
    this.#checks.replace(this.#table.entries().map(toChecked));
    this.#known = true;
  }

  #receive({ key, value, revision }: LedgerEntry): void {
    const name = parseRevocationKey(key);
    if (name === undefined) return;
    if (value === undefined) {
      this.#snapshot?.delete(key);
      this.#apply(this.#table.remove(key, revision));
      return;
    }
    this.#snapshot?.add(key);
    try {
      this.#apply(this.#table.put({ ...name, revision, revocation: decodeRevocation(value) }));
    } catch (error) {
      this.#options.log.error({ err: error, key, revision }, 'a revocation in the log cannot be read');
    }
  }

  #apply(change: Change | undefined): void {
    if (change === undefined) return;
    // One by one a snapshot would cost its square here; it is taken at once when it is complete.
    if (this.#snapshot === undefined) this.#check(change);
    for (const on of this.#listeners) on(change);
    void this.#made.then(() => this.#indexed(change)).catch(() => {}); // made good when Redis returns
  }

  #check(change: Change): void {
    const { entry } = change;
    if (change.kind === 'revoked') this.#checks.apply([toChecked(entry)]);
    else this.#checks.apply([], [{ ...entry, revision: BigInt(change.revision) }]);
  }

  async #indexed(change: Change): Promise<void> {
    const { entry } = change;
    if (change.kind === 'revoked') return this.#options.index.put(entry);
    return this.#options.index.remove(entry.namespace, entry.id, change.revision);
  }

  #sweep(): void {
    for (const { namespace, id, revision } of this.#table.expire()) {
      const gone = () => this.#options.index.remove(namespace, id, revision + 1);
      void this.#made.then(gone).catch(() => {}); // made good when Redis returns
    }
  }

  #requireKnown(): void {
    if (this.#known) return;
    throw new PushfleetError('unavailable', 'The registry does not know yet which tokens are revoked.', {
      retryAfterMs: retryMs,
    });
  }

  #requireRoom(namespace: Namespace): void {
    const { most } = this.#options;
    if (this.#table.count(namespace) < most) return;
    throw new PushfleetError(
      'storage_full',
      `The namespace has ${most} revocations, the most allowed. Revoke a subject and not each of its tokens, or lift what is no longer needed.`,
      { detail: { limit: most } },
    );
  }
}

const toChecked = ({ namespace, id, revocation, revision }: RevocationEntry) => ({
  namespace,
  id,
  subject: revocation.subject,
  tokenId: revocation.tokenId,
  tokenDigest: revocation.tokenDigest,
  issuedBefore: revocation.issuedBefore,
  until: revocation.until,
  revision: BigInt(revision),
});
