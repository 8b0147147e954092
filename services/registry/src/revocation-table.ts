import type { Namespace } from '@pushfleet/core';
import { type RevocationEntry, revocationKey } from './revocation.ts';

/** A step of the table: a revocation that is in force now, or one that is not any more. */
export type Change =
  | { readonly kind: 'revoked'; readonly entry: RevocationEntry }
  | { readonly kind: 'lifted'; readonly entry: RevocationEntry; readonly revision: number };

/** Every revocation of the fleet, by its key in the log. */
export class RevocationTable {
  readonly #entries = new Map<string, RevocationEntry>();
  readonly #counts = new Map<Namespace, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** How many a namespace has. */
  count(namespace: Namespace): number {
    return this.#counts.get(namespace) ?? 0;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Those in force. */
  entries(): readonly RevocationEntry[] {
    return [...this.#entries.values()].filter((entry) => this.#inForce(entry));
  }

  /** Takes an entry unless one as new is there. Entries may come late and twice. */
  put(entry: RevocationEntry): Change | undefined {
    const key = revocationKey(entry.namespace, entry.id);
    const held = this.#entries.get(key);
    if ((held !== undefined && held.revision >= entry.revision) || !this.#inForce(entry)) return undefined;
    if (held === undefined) this.#counts.set(entry.namespace, this.count(entry.namespace) + 1);
    this.#entries.set(key, entry);
    return { kind: 'revoked', entry };
  }

  /** Drops an entry that is older than its deletion. */
  remove(key: string, revision: number): Change | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.revision >= revision) return undefined;
    this.#drop(key, entry);
    return { kind: 'lifted', entry, revision };
  }

  /** Drops what is not among the keys of a complete snapshot. */
  retain(keys: ReadonlySet<string>): readonly Change[] {
    const gone = [...this.#entries].filter(([key]) => !keys.has(key));
    return gone.flatMap(([key, entry]) => this.remove(key, entry.revision + 1) ?? []);
  }

  /** Forgets what has ended by itself, and returns it. */
  expire(): readonly RevocationEntry[] {
    const ended = [...this.#entries].filter(([, entry]) => !this.#inForce(entry));
    for (const [key, entry] of ended) this.#drop(key, entry);
    return ended.map(([, entry]) => entry);
  }

  #inForce(entry: RevocationEntry): boolean {
    return entry.revocation.until > this.#now();
  }

  #drop(key: string, entry: RevocationEntry): void {
    this.#entries.delete(key);
    const left = this.count(entry.namespace) - 1;
    if (left === 0) this.#counts.delete(entry.namespace);
    else this.#counts.set(entry.namespace, left);
  }
}
