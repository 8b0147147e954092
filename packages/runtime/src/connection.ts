import { hash, randomFillSync } from 'node:crypto';
import type { Grant } from './grant.ts';

const shape = /^([A-Za-z0-9_-]{16})\.[A-Za-z0-9_-]{8}$/;

/**
 * Names a token: 16 characters of base64url, 96 bits.
 *
 * Of the signed part alone: whoever holds a token can spell its signature in other ways that verify as well (the
 * unused last bits of base64url, the other half of an ECDSA pair), and would come back under another name.
 */
export function tokenDigest(token: string): string {
  return hash('sha256', token.slice(0, token.lastIndexOf('.')), 'base64url').slice(0, 16);
}

/** A name for one connection, of which the token it was opened with can be told, and nothing about that token. */
export function connectionId({ tokenDigest }: Pick<Grant, 'tokenDigest'>): string {
  return `${tokenDigest}.${drawn()}`;
}

// Random bytes are cheap in bulk: a few at a time they cost a connection more than its token's digest.
const each = 6;
const pool = Buffer.alloc(512 * each);
let used = pool.length;

function drawn(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += each;
  return pool.toString('base64url', used - each, used);
}

/** The digest of the token behind a connection's id; undefined where the text is none. */
export const digestOfConnection = (id: string): string | undefined => shape.exec(id)?.[1];
