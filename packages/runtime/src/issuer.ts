import { parseNamespace } from '@pushfleet/core';
import type { JWK } from 'jose';
import type { ClaimPath } from './claims.ts';
import { fillIn, parseGrants } from './grants.ts';

/**
 * One party whose tokens are accepted, with one source of keys. Without `secret`, `keys` and `jwksUrl` the keys are
 * those that the configuration of `issuer`, a URL then, leads to.
 */
export interface Issuer {
  /** Required value of `iss`; absent, any. */
  readonly issuer?: string;
  /** Required member of `aud`; absent, any. */
  readonly audience?: string;
  /** At least 32 bytes. */
  readonly secret?: string;
  readonly keys?: readonly JWK[];
  readonly jwksUrl?: string;
  /** The signature algorithms accepted; absent, what the keys imply. */
  readonly algorithms?: readonly string[];
  /** Required header `typ`, such as `at+jwt` (RFC 9068 section 2.1). */
  readonly tokenType?: string;
  /** Claims that must have these very values. */
  readonly require?: Readonly<Record<string, string>>;
  /** Where the grants stand, or with `roles` the roles; `pushfleet` by default. */
  readonly claim?: ClaimPath;
  /** What each role grants, in the form that the claim of grants has. */
  readonly roles?: Readonly<Record<string, unknown>>;
  /** The one namespace that this issuer speaks for. */
  readonly namespace?: string;
  readonly namespaceClaim?: ClaimPath;
  /** `sub` by default. */
  readonly subjectClaim?: ClaimPath;
  /** `jti` by default. */
  readonly tokenIdClaim?: ClaimPath;
}

/** Algorithms of a shared secret: never accepted beside public keys, which an attacker knows. */
const secretAlgorithms: readonly string[] = ['HS256', 'HS384', 'HS512'];

/** Algorithms of public keys. */
export const publicAlgorithms: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

const paths = ['claim', 'namespaceClaim', 'subjectClaim', 'tokenIdClaim'];
const members = [
  ...['issuer', 'audience', 'secret', 'keys', 'jwksUrl', 'algorithms', 'tokenType', 'require'],
  ...['roles', 'namespace', ...paths],
];

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isObjects = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((entry) => typeof entry === 'object' && entry !== null);
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isText);

/** @throws Error naming the entry and the rule it breaks, never a value: the list may hold secrets */
export function parseIssuers(text: string): readonly Issuer[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    // JSON.parse quotes the text it stumbled over, which may be a secret.
    throw new Error('it is not JSON');
  }
  if (!Array.isArray(list)) throw new Error('it is no list');
  return list.map((entry: unknown, index) => {
    const complaint = complaintAbout(entry);
    if (complaint !== undefined) throw new Error(`entry ${index + 1} ${complaint}`);
    return entry as Issuer;
  });
}

function complaintAbout(entry: unknown): string | undefined {
  if (!isObject(entry)) return 'is no object';
  const unknown = Object.keys(entry).find((name) => !members.includes(name));
  if (unknown !== undefined) return `has the unknown member ${JSON.stringify(unknown.slice(0, 40))}`;
  return (
    complaintAboutKeys(entry) ??
    complaintAboutClaims(entry) ??
    complaintAboutRoles(entry) ??
    complaintAboutNamespace(entry.namespace)
  );
}

function complaintAboutKeys(issuer: Readonly<Record<string, unknown>>): string | undefined {
  const { secret, keys, jwksUrl, algorithms } = issuer;
  const sources = [secret, keys, jwksUrl].filter((source) => source !== undefined).length;
  if (sources > 1) return 'has more than one of "secret", "keys" and "jwksUrl"';
  if (sources === 0 && !isIssuerUrl(issuer.issuer)) {
    return 'has none of "secret", "keys" and "jwksUrl"; it needs one, or an "issuer" that is a URL and publishes its keys';
  }
  if (secret !== undefined && !(isText(secret) && Buffer.byteLength(secret) >= 32)) {
    return 'has a "secret" that is no text of at least 32 bytes';
  }
  if (keys !== undefined && !isObjects(keys)) return 'has "keys" that are no list of JWKs';
  if (jwksUrl !== undefined && !(isText(jwksUrl) && /^https?:$/.test(URL.parse(jwksUrl)?.protocol ?? ''))) {
    return 'has a "jwksUrl" that is no http or https URL';
  }
  if (algorithms === undefined) return undefined;
  const legal = secret === undefined ? publicAlgorithms : secretAlgorithms;
  if (!isTexts(algorithms) || (algorithms as string[]).some((name) => !legal.includes(name))) {
    return `has "algorithms" that are no list out of ${legal.join(', ')}`;
  }
  return undefined;
}

/** OpenID Connect Discovery 1.0 section 2: a URL without query and fragment. */
function isIssuerUrl(value: unknown): boolean {
  const url = isText(value) ? URL.parse(value) : null;
  return url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '';
}

function complaintAboutClaims(issuer: Readonly<Record<string, unknown>>): string | undefined {
  for (const name of ['issuer', 'audience', 'tokenType']) {
    if (issuer[name] !== undefined && !isText(issuer[name]))
      return `has an empty "${name}" or one that is no text`;
  }
  for (const name of paths) {
    const path = issuer[name];
    if (path !== undefined && !isText(path) && !isTexts(path))
      return `has a "${name}" that is no name or list of names`;
  }
  const { require } = issuer;
  if (require === undefined || (isObject(require) && Object.values(require).every(isText))) return undefined;
  return 'has a "require" that is no object of claims and the texts they must have';
}

function complaintAboutRoles({ roles, claim }: Readonly<Record<string, unknown>>): string | undefined {
  if (roles === undefined) return undefined;
  if (!isObject(roles)) return 'has "roles" that are no object of roles and what they grant';
  if (claim === undefined) return 'has "roles" but no "claim" that says where a token lists them';
  for (const [role, granted] of Object.entries(roles)) {
    try {
      fillIn(parseGrants(granted), 'subject');
    } catch (error) {
      return `has a role ${JSON.stringify(role.slice(0, 40))} that ${(error as Error).message}`;
    }
  }
  return undefined;
}

function complaintAboutNamespace(namespace: unknown): string | undefined {
  if (namespace === undefined) return undefined;
  if (!isText(namespace)) return 'has an empty "namespace" or one that is no text';
  try {
    parseNamespace(namespace);
    return undefined;
  } catch (error) {
    return `has a "namespace" that cannot be used (${(error as Error).message})`;
  }
}
