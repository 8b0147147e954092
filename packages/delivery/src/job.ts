import type { Attributes, Cursor, Namespace, Publication, Topic, TraceContext } from '@pushfleet/core';
import type { Why } from './attempt.ts';

/** A publication that somebody is owed, with the place right behind it. */
export interface Owed {
  readonly publication: Publication;
  readonly cursor: Cursor;
}

/** A delivery without its publication, which lies on the shelf `owed`. */
export interface Reference {
  /** Its place there. */
  readonly owed: number;
  /** Attempts made so far. */
  readonly attempts: number;
}

/** What the queue of a kind of receiver holds. */
export type Job =
  /** A publication for some receivers of one slot. */
  | {
      readonly kind: 'deliver';
      readonly namespace: Namespace;
      readonly owed: Owed;
      readonly ids: readonly string[];
    }
  /** As `deliver`, of a publication that is too large to be copied. */
  | {
      readonly kind: 'fetch';
      readonly namespace: Namespace;
      readonly place: number;
      readonly ids: readonly string[];
    }
  /** A delivery that waited for its next attempt. */
  | {
      readonly kind: 'again';
      readonly namespace: Namespace;
      readonly id: string;
      readonly reference: Reference;
    }
  /** Something lies on the subscription's lane; `attempts` were made of the first delivery there. */
  | { readonly kind: 'nudge'; readonly namespace: Namespace; readonly id: string; readonly attempts?: number }
  /** The receivers of a publication from this page on. */
  | {
      readonly kind: 'expand';
      readonly namespace: Namespace;
      readonly owed: Owed;
      readonly pageToken: string;
    }
  /** What was published after one place up to another, once more. */
  | {
      readonly kind: 'replay';
      readonly namespace: Namespace;
      readonly id: string;
      readonly after: Cursor;
      readonly until: Cursor;
    }
  /** Asks for nothing: whoever is handed it owns the slot. */
  | { readonly kind: 'knock' }
  /** The slot's owner has left it, with all of it on record. */
  | { readonly kind: 'left' }
  /** A dead letter of a subscription once more, or all of them. */
  | {
      readonly kind: 'redeliver';
      readonly namespace: Namespace;
      readonly id: string;
      readonly letter?: number;
    }
  /** A call that no publication is behind. */
  | {
      readonly kind: 'call';
      readonly namespace: Namespace;
      readonly id: string;
      readonly why: Exclude<Why, 'publication'>;
      readonly delivery: string;
      readonly attempts: number;
      /** Of a farewell. */
      readonly reason?: string;
    };

/** A publication without its payload, as JSON. */
interface Head {
  readonly id: string;
  readonly source: string;
  readonly topic: Topic;
  readonly contentType: string;
  readonly type?: string;
  readonly attributes?: Attributes;
  readonly expiresAt?: number;
  readonly trace?: TraceContext;
  readonly time: number;
  readonly shard: number;
  readonly sequence: number;
  readonly cursor: Cursor;
}

function headOf({ publication: p, cursor }: Owed): Head {
  return {
    id: p.id,
    source: p.source,
    topic: p.topic,
    contentType: p.contentType,
    ...(p.type !== undefined && { type: p.type }),
    ...(p.attributes !== undefined && { attributes: p.attributes }),
    ...(p.expiresAt !== undefined && { expiresAt: p.expiresAt }),
    ...(p.trace !== undefined && { trace: p.trace }),
    ...{ time: p.time, shard: p.shard, sequence: p.sequence, cursor },
  };
}

function owedOf({ cursor, ...head }: Head, payload: Uint8Array): Owed {
  return { publication: { ...head, payload }, cursor };
}

const lineEnd = 0x0a;
const nothing = new Uint8Array();

/** A line of JSON, and the payload behind it. */
function join(head: unknown, payload: Uint8Array): Uint8Array {
  const line = `${JSON.stringify(head)}\n`;
  const size = Buffer.byteLength(line);
  const body = Buffer.allocUnsafe(size + payload.length);
  body.write(line, 0);
  body.set(payload, size);
  return body;
}

function split<T>(body: Uint8Array): { head: T; payload: Uint8Array } {
  const at = body.indexOf(lineEnd);
  const line = Buffer.from(body.buffer, body.byteOffset, at).toString();
  return { head: JSON.parse(line) as T, payload: body.subarray(at + 1) };
}

/** Bytes of a job for the queue. The owed publication's payload is copied as it is. */
export function encodeJob(job: Job): Uint8Array {
  if (job.kind !== 'deliver' && job.kind !== 'expand') return join(job, nothing);
  return join({ ...job, owed: headOf(job.owed) }, job.owed.publication.payload);
}

/** @throws SyntaxError where the bytes are not of `encodeJob`'s making */
export function decodeJob(body: Uint8Array): Job {
  const { head, payload } = split<Job & { readonly owed: Head }>(body);
  if (head.kind !== 'deliver' && head.kind !== 'expand') return head;
  return { ...head, owed: owedOf(head.owed, payload) };
}

/** Bytes of an owed publication for its shelf. */
export function encodeOwed(owed: Owed): Uint8Array {
  return join(headOf(owed), owed.publication.payload);
}

/** @throws SyntaxError where the bytes are not of `encodeOwed`'s making */
export function decodeOwed(body: Uint8Array): Owed {
  const { head, payload } = split<Head>(body);
  return owedOf(head, payload);
}

/** Bytes of a small record for a shelf. */
export const encodeJson = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

/** What `encodeJson` was given. */
export const decodeJson = <T>(body: Uint8Array): T =>
  JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()) as T;
