import { hash } from 'node:crypto';
import type { Namespace } from '@pushfleet/core';
import { Session, type SessionKey } from '@pushfleet/proto/pushfleet/registry/v1/sessions';

/** Names a session, as checked. */
export interface Key extends SessionKey {
  readonly namespace: Namespace;
}

/** A session's key in the ledger, and its name everywhere in the index: `<namespace>/<protocol>/<digest of the id>`. */
export type Ref = string & { readonly __brand: 'Ref' };

/** A record with its place in the ledger. */
export interface Held {
  readonly ref: Ref;
  readonly record: Session;
  readonly revision: number;
}

/** 132 bits: nobody finds a second id for the digest of another. */
export const digestOf = (text: string): string => hash('sha256', text, 'base64url').slice(0, 22);

export const refOf = ({ namespace, protocol, id }: SessionKey): Ref =>
  `${namespace}/${protocol}/${digestOf(id)}` as Ref;

const refShape = /^[A-Za-z0-9_-]{1,64}\/[a-z0-9-]{1,16}\/[A-Za-z0-9_-]{22}$/;

export const isRef = (text: string): text is Ref => refShape.test(text);

export const keyOf = (record: Session): Key => record.key as Key;

/** Of an entry whose generation is its own revision the record says 0. */
export const newGeneration = 0n;

/** @throws Error where it is no record */
export function decodeRecord(ref: Ref, value: Uint8Array, revision: number): Held {
  const record = Session.decode(value);
  return { ref, revision, record: { ...record, generation: record.generation || BigInt(revision) } };
}

export const encodeRecord = (record: Session): Uint8Array => Session.encode(record).finish();

/** When a session without an owner ends, in Unix milliseconds; undefined while it is connected. */
export const endsAt = ({ owner, expiresAt }: Session): number | undefined =>
  owner === undefined ? (expiresAt?.getTime() ?? 0) : undefined;

/** Whether it has ended by itself: such a record is none, and what is left of it is being cleared away. */
export const hasEnded = (record: Session, now: number): boolean =>
  (endsAt(record) ?? Number.POSITIVE_INFINITY) <= now;

/** When its will is due, in Unix milliseconds: with the session's end at the latest; undefined: never, or not as long as it is connected. */
export function willDueAt(record: Session): number | undefined {
  const end = endsAt(record);
  if (record.will === undefined || end === undefined) return undefined;
  return Math.min(end, (record.releasedAt?.getTime() ?? 0) + record.will.delaySeconds * 1_000);
}

/** When something of it is due next. */
export const dueAt = (record: Session): number | undefined => willDueAt(record) ?? endsAt(record);

/** The record as it is once its connection is gone. */
export function released(record: Session, now: number, o: { readonly expirySeconds?: number } = {}): Session {
  const { expirySeconds = record.expirySeconds } = o;
  const expiresAt = new Date(now + expirySeconds * 1_000);
  return { ...record, owner: undefined, expirySeconds, releasedAt: new Date(now), expiresAt };
}

/** The groups it belongs to, each by the filter that it shares. */
export const groupsOf = ({ filters }: Session) => filters.filter(({ group }) => group !== '');
