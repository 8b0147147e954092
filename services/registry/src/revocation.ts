import { createHash } from 'node:crypto';
import { type Namespace, parseNamespace } from '@pushfleet/core';

/** Which tokens of a namespace a revocation means: those that have every claim named here. */
export interface Target {
  readonly subject?: string;
  readonly tokenId?: string;
  /** The digest of one token, of which a connection's id was made. */
  readonly tokenDigest?: string;
}

/** The terms of a revocation. Times are Unix milliseconds. */
export interface Terms extends Target {
  /** Tokens issued before this; absent: whenever issued. */
  readonly issuedBefore?: number;
  /** When it ends by itself. */
  readonly until: number;
}

/** What the log holds of a revocation. */
export interface Revocation extends Terms {
  /** When it was first made, and by whom: `sub` of the manager. */
  readonly createdAt: number;
  readonly createdBy: string;
}

/** A revocation with its place in the log. */
export interface RevocationEntry {
  readonly namespace: Namespace;
  readonly id: string;
  readonly revocation: Revocation;
  readonly revision: number;
}

const kind = 'revocation';
const keyShape = /^([A-Za-z0-9_-]+)\.revocation\.([A-Za-z0-9_-]{43})$/;

/** Follows from the target alone, so that one target has one revocation whoever makes it. */
export function revocationId(target: Target): string {
  const { subject = null, tokenId = null, tokenDigest } = target;
  // Without a digest as it was before there were digests: the same target keeps its id.
  const text = JSON.stringify([subject, tokenId, ...(tokenDigest === undefined ? [] : [tokenDigest])]);
  return createHash('sha256').update(text).digest('base64url');
}

export const isRevocationId = (text: string): boolean => /^[A-Za-z0-9_-]{43}$/.test(text);

/** The key in the ledger. */
export const revocationKey = (namespace: Namespace, id: string): string => `${namespace}.${kind}.${id}`;

/** What `revocationKey` was made of; undefined for the key of something else. */
export function parseRevocationKey(key: string): { namespace: Namespace; id: string } | undefined {
  const [, namespace, id] = keyShape.exec(key) ?? [];
  return namespace === undefined || id === undefined
    ? undefined
    : { namespace: parseNamespace(namespace), id };
}

export const encodeRevocation = (revocation: Revocation): Buffer => Buffer.from(JSON.stringify(revocation));

export const decodeRevocation = (bytes: Uint8Array): Revocation =>
  JSON.parse(Buffer.from(bytes).toString()) as Revocation;

/**
 * What holds after somebody revokes again what is revoked already: never less than either of the two asks for.
 * Less takes lifting the old one first.
 */
export function strengthen(held: Revocation, asked: Terms): Revocation {
  const { issuedBefore: _, ...rest } = held;
  const always = held.issuedBefore === undefined || asked.issuedBefore === undefined;
  return {
    ...rest,
    ...(always ? {} : { issuedBefore: Math.max(held.issuedBefore as number, asked.issuedBefore as number) }),
    until: Math.max(held.until, asked.until),
  };
}
