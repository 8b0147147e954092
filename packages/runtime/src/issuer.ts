import type { JWK } from 'jose';

/** One party whose tokens are accepted, with exactly one source of keys. */
export interface Issuer {
  /** Required value of `iss`; absent, any. */
  readonly issuer?: string;
  /** Required member of `aud`; absent, any. */
  readonly audience?: string;
  readonly secret?: string;
  /** PEM; comes from the short form alone. */
  readonly publicKey?: string;
  readonly keys?: readonly JWK[];
  readonly jwksUrl?: string;
  /** The signature algorithms accepted; absent, what the keys imply. */
  readonly algorithms?: readonly string[];
  /** Where the grants stand: a claim's name, or the names that lead to it. */
  readonly claim?: string | readonly string[];
}

/** @throws Error naming the entry and the rule it breaks, never a value */
export function parseIssuers(_text: string): readonly Issuer[] {
  throw new Error('not yet');
}
