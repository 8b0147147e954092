import type { JWK } from 'jose';

/** One party whose tokens are accepted, with exactly one source of keys. */
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
  /** Where the grants stand: a claim's name, or the names that lead to it; `pushfleet` by default. */
  readonly claim?: string | readonly string[];
}

/** Algorithms of a shared secret: never accepted beside public keys, which an attacker knows. */
const secretAlgorithms: readonly string[] = ['HS256', 'HS384', 'HS512'];

/** Algorithms of public keys. */
export const publicAlgorithms: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

const members = ['issuer', 'audience', 'secret', 'keys', 'jwksUrl', 'algorithms', 'claim'];

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
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
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return 'is no object';
  const issuer = entry as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(issuer).find((name) => !members.includes(name));
  if (unknown !== undefined) return `has the unknown member ${JSON.stringify(unknown.slice(0, 40))}`;
  return complaintAboutKeys(issuer) ?? complaintAboutRest(issuer);
}

function complaintAboutKeys(issuer: Readonly<Record<string, unknown>>): string | undefined {
  const { secret, keys, jwksUrl, algorithms } = issuer;
  if ([secret, keys, jwksUrl].filter((source) => source !== undefined).length !== 1) {
    return 'needs exactly one of "secret", "keys" and "jwksUrl"';
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

function complaintAboutRest(issuer: Readonly<Record<string, unknown>>): string | undefined {
  for (const name of ['issuer', 'audience']) {
    if (issuer[name] !== undefined && !isText(issuer[name]))
      return `has an empty "${name}" or one that is no text`;
  }
  const { claim } = issuer;
  if (claim !== undefined && !isText(claim) && !isTexts(claim))
    return 'has a "claim" that is no name or list of names';
  return undefined;
}
