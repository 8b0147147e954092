import type { GrantFacts } from './grant.ts';

/** Which tokens have been revoked, as the registry tells. */
export interface RevocationList {
  /** @throws PushfleetError `unavailable` while it is not known */
  revoked(grant: GrantFacts): boolean;
  /**
   * Calls `on` after the list has grown; whoever holds connections then asks `revoked` of their grants. Returns
   * how to stop.
   */
  onRevoked(on: () => void): () => void;
}

/**
 * Refuses the tokens of a namespace that match every field present of `subject`, `tokenId`, `tokenDigest` and
 * `issuedBefore`.
 */
export interface Revocation {
  readonly namespace: string;
  /** Names the revocation within its namespace. */
  readonly id: string;
  readonly subject?: string | undefined;
  readonly tokenId?: string | undefined;
  /** One token, known by a connection that was opened with it. */
  readonly tokenDigest?: string | undefined;
  /** Unix time in milliseconds; a token without `iat` counts as issued before. */
  readonly issuedBefore?: number | undefined;
  /** Unix time in milliseconds at which the revocation ends by itself. */
  readonly until: number;
  /** Of two states with the same namespace and id the greater revision counts. */
  readonly revision: bigint;
}

/** The end of a revocation. */
export interface Lifted {
  readonly namespace: string;
  readonly id: string;
  readonly revision: bigint;
}

const sweepMs = 60_000;

const key = (namespace: string, kind: 's' | 't' | 'd', value: string): string =>
  `${namespace} ${kind}${value}`;

function place({ namespace, subject, tokenId, tokenDigest }: Revocation): string {
  if (tokenDigest !== undefined) return key(namespace, 'd', tokenDigest);
  return tokenId === undefined ? key(namespace, 's', subject ?? '') : key(namespace, 't', tokenId);
}

function hits(revocation: Revocation, grant: GrantFacts, now: number): boolean {
  const { subject, tokenId, tokenDigest, issuedBefore, until } = revocation;
  if (now >= until) return false;
  if (subject !== undefined && subject !== grant.subject) return false;
  if (tokenId !== undefined && tokenId !== grant.tokenId) return false;
  if (tokenDigest !== undefined && tokenDigest !== grant.tokenDigest) return false;
  return issuedBefore === undefined || (grant.issuedAt ?? Number.NEGATIVE_INFINITY) < issuedBefore;
}

/** The list itself: looked up by subject, token id and digest; a check costs three map reads however long it is. */
export class Revocations implements RevocationList {
  readonly #now: () => number;
  readonly #listeners = new Set<() => void>();
  #sweepAt = 0;
  #byId = new Map<string, Revocation>();
  #byPlace = new Map<string, Set<Revocation>>();

  constructor(options: { readonly now?: () => number } = {}) {
    this.#now = options.now ?? Date.now;
  }

  get size(): number {
    return this.#byId.size;
  }

  revoked(grant: GrantFacts): boolean {
    if (this.#byId.size === 0) return false;
    return (
      this.#hitAt(key(grant.namespace, 's', grant.subject), grant) ||
      this.#hitAt(key(grant.namespace, 'd', grant.tokenDigest), grant) ||
      (grant.tokenId !== undefined && this.#hitAt(key(grant.namespace, 't', grant.tokenId), grant))
    );
  }

  onRevoked(on: () => void): () => void {
    this.#listeners.add(on);
    return () => this.#listeners.delete(on);
  }

  /** Applies changes in the order in which they happened. */
  apply(revoked: readonly Revocation[], lifted: readonly Lifted[] = []): void {
    this.#sweep();
    for (const revocation of revoked) this.#add(revocation);
    for (const { namespace, id, revision } of lifted) {
      const known = this.#byId.get(`${namespace} ${id}`);
      if (known !== undefined && known.revision < revision) this.#remove(known);
    }
    if (revoked.length > 0) this.#tell();
  }

  /** Puts a complete list in place of the one held. */
  replace(revocations: readonly Revocation[]): void {
    this.#byId = new Map();
    this.#byPlace = new Map();
    this.apply(revocations);
  }

  #hitAt(at: string, grant: GrantFacts): boolean {
    const revocations = this.#byPlace.get(at);
    if (revocations === undefined) return false;
    const now = this.#now();
    for (const revocation of revocations) if (hits(revocation, grant, now)) return true;
    return false;
  }

  #add(revocation: Revocation): void {
    const known = this.#byId.get(`${revocation.namespace} ${revocation.id}`);
    if (known !== undefined) {
      if (known.revision > revocation.revision) return;
      this.#remove(known);
    }
    this.#byId.set(`${revocation.namespace} ${revocation.id}`, revocation);
    const at = place(revocation);
    const others = this.#byPlace.get(at);
    if (others === undefined) this.#byPlace.set(at, new Set([revocation]));
    else others.add(revocation);
  }

  #remove(revocation: Revocation): void {
    this.#byId.delete(`${revocation.namespace} ${revocation.id}`);
    const at = place(revocation);
    const others = this.#byPlace.get(at);
    others?.delete(revocation);
    if (others?.size === 0) this.#byPlace.delete(at);
  }

  /** Revocations end by themselves, and no change is sent for it. A long list is looked through now and then. */
  #sweep(): void {
    const now = this.#now();
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + sweepMs;
    for (const revocation of this.#byId.values()) if (now >= revocation.until) this.#remove(revocation);
  }

  #tell(): void {
    for (const on of this.#listeners) on();
  }
}
