import { defaultNamespace, type Namespace, PushfleetError, parseNamespace, quote } from '@pushfleet/core';
import type { JWTPayload } from 'jose';
import { createGrant, type Grant } from './grant.ts';
import { fillIn, type GrantTemplates, parseGrants, unite } from './grants.ts';

/** Where something stands in a token: a claim's name, or the names that lead to it. */
export type ClaimPath = string | readonly string[];

/** What the claims of one issuer's tokens mean. */
export interface ClaimRules {
  /** Where the grants stand, or with `roles` the roles. */
  readonly claim: ClaimPath;
  /** What each role grants. Absent, the claim has the grants themselves. */
  readonly roles?: ReadonlyMap<string, GrantTemplates>;
  /** The one namespace that this issuer speaks for. */
  readonly namespace?: Namespace;
  /** Absent: `ns`, which a token may lack. */
  readonly namespaceClaim?: ClaimPath;
  readonly subjectClaim: ClaimPath;
  readonly tokenIdClaim: ClaimPath;
}

// The last millisecond a Date can hold, so that an absurd `exp` stays a usable time.
const lastTime = 8.64e15;

/**
 * Reads what a token allows out of its verified claims.
 *
 * @param tokenDigest names the token, see `Grant.tokenDigest`
 * @throws PushfleetError `unauthenticated` where a claim is not of the form documented, `forbidden` for the namespace
 */
export function readGrant(payload: JWTPayload, rules: ClaimRules, tokenDigest: string): Grant {
  const { exp, iat } = payload;
  const subject = textAt(payload, rules.subjectClaim);
  if (subject === undefined || subject === '')
    throw malformed(`names nobody: its claim ${nameOf(rules.subjectClaim)} is missing or empty`);
  if (typeof exp !== 'number') throw malformed('does not expire: its claim "exp" is missing');
  const tokenId = textAt(payload, rules.tokenIdClaim);
  const facts = {
    subject,
    namespace: readNamespace(payload, rules),
    expiresAt: Math.min(exp * 1_000, lastTime),
    tokenDigest,
    ...(tokenId === undefined ? {} : { tokenId }),
    ...(iat === undefined ? {} : { issuedAt: iat * 1_000 }),
  };
  try {
    return createGrant(facts, fillIn(readTemplates(valueAt(payload, rules.claim), rules.roles), subject));
  } catch (error) {
    throw malformed((error as Error).message);
  }
}

function readTemplates(value: unknown, roles: ClaimRules['roles']): GrantTemplates {
  // A token without the claim is somebody's, and allows nothing.
  if (value === undefined || value === null) return parseGrants({});
  if (roles === undefined) return parseGrants(value);
  // Roles that the operator gave no grants are the business of other services.
  return unite([...new Set(readRoles(value))].flatMap((role) => roles.get(role) ?? []));
}

/** A list of names, or a text with spaces between them as the claim `scope` has (RFC 8693 section 4.2). */
function readRoles(value: unknown): readonly string[] {
  if (typeof value === 'string') return value.split(' ');
  if (Array.isArray(value) && value.every((role) => typeof role === 'string')) return value as string[];
  throw new Error('has roles that are neither a list of names nor a text');
}

function readNamespace(payload: JWTPayload, { namespace, namespaceClaim }: ClaimRules): Namespace {
  const text = textAt(payload, namespaceClaim ?? 'ns');
  const named = text === undefined ? undefined : parseNamespace(text);
  if (namespace !== undefined) {
    if (named === undefined || named === namespace) return namespace;
    throw new PushfleetError(
      'forbidden',
      `The token names the namespace ${quote(named)}, and its issuer speaks for ${quote(namespace)} alone.`,
    );
  }
  if (named !== undefined) return named;
  if (namespaceClaim === undefined) return defaultNamespace;
  // Where namespaces come from the issuer, a token that lacks its own must not end up in a shared one.
  throw malformed(`names no namespace: its claim ${nameOf(namespaceClaim)} is missing`);
}

function malformed(what: string): PushfleetError {
  return new PushfleetError('unauthenticated', `The token ${what}. Its issuer has to change that.`);
}

const nameOf = (path: ClaimPath): string => quote(typeof path === 'string' ? path : path.join(' > '));

/** @throws PushfleetError `unauthenticated` where something else than a text stands there */
function textAt(payload: JWTPayload, path: ClaimPath): string | undefined {
  const value = valueAt(payload, path);
  if (value === undefined || typeof value === 'string') return value;
  throw malformed(`has a claim ${nameOf(path)} that is no text`);
}

function valueAt(payload: JWTPayload, path: ClaimPath): unknown {
  let value: unknown = payload;
  for (const name of typeof path === 'string' ? [path] : path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}
