import {
  type Cursor,
  encodeCloudEvent,
  encodeMember,
  isText,
  meanings,
  PushfleetError,
  type Stored,
} from '@pushfleet/core';
import { type CloseCode, type Members, retryMs } from '@pushfleet/edge';
import { type Opcode, opcodes } from '@pushfleet/edge/websocket';
import type { Encodable } from '@pushfleet/hub';

// What the server says in pushfleet.v1; PROTOCOL.md is the whole of it.

/** Chosen by the client, and echoed in the answer to its request. */
export type RequestId = number | string;

/** A message before it is a frame; its payload in pieces that follow each other. */
export interface Message {
  readonly opcode: Opcode;
  readonly pieces: readonly Uint8Array[];
}

const lengthBytes = 4;

/** A publication as a message: of text where its payload is text, else of bytes behind the same JSON without it. */
export function publicationMessage({ publication, cursor, retained }: Encodable): Message {
  const more = retained ? ',"retained":true' : '';
  const json = (event: string): Buffer => Buffer.from(`{"type":"publication","event":${event}${more}}`);
  if (isText(publication)) {
    return { opcode: opcodes.text, pieces: [json(encodeCloudEvent(publication, cursor))] };
  }
  const header = json(encodeCloudEvent({ ...publication, payload: nothing }, cursor));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(header.length);
  return { opcode: opcodes.binary, pieces: [length, header, publication.payload] };
}

const nothing = new Uint8Array();

/** What the first message says. */
export interface Welcome {
  readonly connection: string;
  readonly subject: string;
  /** Unix time in milliseconds. */
  readonly expires: number;
  readonly limits: {
    /** Bytes of a message. */
    readonly message: number;
    /** Filters of the connection. */
    readonly filters: number;
    /** Requests that are unanswered. */
    readonly requests: number;
    /** Publications a second. */
    readonly publishRate: number;
  };
  /** The longest time without a word from the server, in milliseconds. */
  readonly ping: number;
}

export const welcome = (given: Welcome): string => JSON.stringify({ type: 'welcome', ...given });

export const renewed = (id: RequestId | undefined, given: Pick<Welcome, 'expires' | 'connection'>): string =>
  JSON.stringify({ type: 'renewed', id, ...given });

/** Members of a topic: a page of all of them, or the client's own. */
export type PresencePage = Pick<Members, 'members'> & Partial<Pick<Members, 'next' | 'total'>>;

export const subscribed = (id: RequestId, cursor: Cursor): string =>
  JSON.stringify({ type: 'subscribed', id, cursor });

export const unsubscribed = (id: RequestId): string => JSON.stringify({ type: 'unsubscribed', id });

export const published = (id: RequestId, { id: publication, cursor, duplicate }: Stored): string =>
  JSON.stringify({ type: 'published', id, publication, cursor, duplicate });

/** @param page the members, each as JSON says it on every protocol */
export function presence(id: RequestId, topic: string, { members, ...page }: PresencePage): string {
  const head = JSON.stringify({ type: 'presence', id, topic, ...page }).slice(0, -1);
  return `${head},"members":[${members.map(encodeMember).join(',')}]}`;
}

export const pong = (id: RequestId | undefined): string => JSON.stringify({ type: 'pong', id });

/** Moves the client's place on without a publication. */
export const place = (cursor: Cursor): string => JSON.stringify({ type: 'cursor', cursor });

/** Publications between the two cursors can no longer be given. */
export const gap = (from: Cursor, to: Cursor): string => JSON.stringify({ type: 'gap', from, to });

/** @param id of the request that it answers; without one it is about what could not be read as a request */
export function error(id: RequestId | undefined, thrown: unknown): string {
  const { code, message, detail, retryAfterMs } = PushfleetError.from(thrown);
  const { title, retry } = meanings[code];
  const wait = retryAfterMs ?? (retry ? 1_000 : undefined);
  // The members of every error come last, so that no detail field can stand in for one.
  return JSON.stringify({
    ...detail,
    ...{ type: 'error', id, code, title, detail: message },
    ...(wait !== undefined && { retryAfterMs: Math.ceil(wait) }),
  });
}

/** The last message: why the connection ends, and when to come back where that can help. */
export function closing(code: CloseCode, detail: string, retryAfterMs?: number): string {
  const wait = retryMs(code, retryAfterMs);
  return JSON.stringify({ type: 'closing', code, detail, reconnect: wait !== undefined, retryMs: wait });
}
