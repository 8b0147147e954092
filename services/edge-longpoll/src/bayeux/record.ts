import { hash } from 'node:crypto';
import { type Cursor, type Namespace, parseCursor, type Topic, type TopicFilter } from '@pushfleet/core';
import type { SaidEntry } from '@pushfleet/edge';
import { createGrant, type Grant, type GrantFacts, type Grants } from '@pushfleet/runtime';

/** A channel or pattern that a session is subscribed to. */
export interface Subscription {
  readonly channel: string;
  readonly filter: TopicFilter;
  /** It asked for the retained publications, and they have not all been acknowledged yet. */
  readonly retained?: true;
}

/** A topic that the session is present on, as its client said it. */
export interface PresentOn {
  readonly topic: Topic;
  /** What others see as the client; absent: the session's connection. */
  readonly client?: string;
  readonly entry: SaidEntry;
  /** When its time to live is over and it has left by itself, in Unix milliseconds; absent: with its session. */
  readonly until?: number;
}

/** Whether a member has left by itself. */
export const isOver = ({ until }: PresentOn): boolean => until !== undefined && until <= Date.now();

/** What another instance needs to go on with a session. */
export interface SessionRecord {
  /** The instance that has the session; empty where it has been given up. */
  readonly by: string;
  readonly grant: Grant;
  /** What others may know the session by. */
  readonly connection: string;
  /** Whether its client speaks the acknowledgement extension. */
  readonly ack: boolean;
  /** The last batch that was sent, or one of the last. */
  readonly batch: number;
  /** All subscriptions go on from here: what they asked for lies behind it. Absent before the first subscription. */
  readonly cursor?: Cursor;
  readonly subscriptions: readonly Subscription[];
  readonly presences: readonly PresentOn[];
}

/** The key of a session: whoever reads it, in the ledger or in a log, cannot use the session. */
export const keyOf = (clientId: string): string => hash('sha256', clientId, 'base64url').slice(0, 32);

interface Stored extends Omit<SessionRecord, 'grant'> {
  readonly v: 1;
  readonly facts: GrantFacts;
  readonly grants: Grants;
}

export function encodeRecord({ grant, presences, ...rest }: SessionRecord): Uint8Array {
  const { subject, namespace, expiresAt, tokenDigest, tokenId, issuedAt } = grant;
  const facts: GrantFacts = {
    ...{ subject, namespace, expiresAt, tokenDigest },
    ...(tokenId !== undefined && { tokenId }),
    ...(issuedAt !== undefined && { issuedAt }),
  };
  const stored: Stored = {
    ...{ v: 1, ...rest, facts, grants: grant.grants },
    presences: presences.filter((one) => !isOver(one)),
  };
  return Buffer.from(JSON.stringify(stored));
}

/** The value of a session that ended: it is told from one that was never there by nobody, and soon gone. */
export const ended: Uint8Array = new Uint8Array();

/** Undefined where the session has ended, or what stands there was written by a release to come. */
export function decodeRecord(value: Uint8Array): SessionRecord | undefined {
  if (value.length === 0) return undefined;
  const { v, facts, grants, ...rest } = JSON.parse(Buffer.from(value).toString()) as Stored;
  if (v !== 1) return undefined;
  if (rest.cursor !== undefined) parseCursor(rest.cursor);
  return { ...rest, grant: createGrant({ ...facts, namespace: facts.namespace as Namespace }, grants) };
}
