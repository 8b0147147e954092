import { isUtf8 } from 'node:buffer';
import { type Attributes, type Cursor, members, PushfleetError, quote } from '@pushfleet/core';
import {
  type Fields,
  flag,
  invalid,
  missing,
  numberField,
  type PresenceRequest,
  parseAfter,
  parseObject,
  parsePresence,
  textField,
} from '@pushfleet/edge';
import type * as intake from '@pushfleet/intake';
import type { RequestId } from './codec.ts';

/** What a client says, checked for its shape; topics, filters and sizes are checked by who acts on them. */
export type ClientMessage =
  | { readonly type: 'auth'; readonly id: RequestId | undefined; readonly token: string }
  | { readonly type: 'ping'; readonly id: RequestId | undefined }
  | Subscribe
  | { readonly type: 'unsubscribe'; readonly id: RequestId; readonly filters: readonly string[] }
  | Publish
  | PresenceMessage;

export interface Subscribe {
  readonly type: 'subscribe';
  readonly id: RequestId;
  readonly filters: readonly string[];
  readonly after: Cursor | undefined;
  readonly retained: boolean;
}

export interface Publish extends intake.Publish {
  readonly type: 'publish';
  readonly id: RequestId;
}

export interface PresenceMessage {
  readonly type: 'presence';
  readonly id: RequestId;
  readonly topic: string;
  readonly request: PresenceRequest;
}

/** A message that cannot be read, with the id it had. */
export class Unreadable {
  readonly id: RequestId | undefined;
  readonly error: PushfleetError;

  constructor(id: RequestId | undefined, error: PushfleetError) {
    this.id = id;
    this.error = error;
  }
}

/** Reads a text message. */
export function readText(bytes: Buffer): ClientMessage | Unreadable {
  return read(bytes.toString('utf8'), undefined);
}

const lengthBytes = 4;

/** Reads a binary message: the length of its header, the header, and the payload. */
export function readBinary(bytes: Buffer): ClientMessage | Unreadable {
  const end = lengthBytes + (bytes.length < lengthBytes ? 0 : bytes.readUInt32BE(0));
  if (bytes.length < lengthBytes || end > bytes.length) {
    return new Unreadable(undefined, invalid('A binary message begins with the length of its header.'));
  }
  const header = bytes.subarray(lengthBytes, end);
  if (!isUtf8(header)) return new Unreadable(undefined, invalid('The header is JSON in UTF-8.'));
  // A copy: what was received is a part of a larger buffer, which the publication would keep.
  return read(header.toString('utf8'), Buffer.from(bytes.subarray(end)));
}

function read(text: string, payload: Buffer | undefined): ClientMessage | Unreadable {
  let id: RequestId | undefined;
  try {
    const fields = parseObject(text);
    id = idOf(fields);
    return messageOf(fields, id, { text, payload });
  } catch (thrown) {
    return new Unreadable(id, PushfleetError.from(thrown));
  }
}

function idOf({ id }: Fields): RequestId | undefined {
  if (id === undefined || Number.isSafeInteger(id)) return id as number | undefined;
  if (typeof id === 'string' && id.length >= 1 && id.length <= 64 && id.isWellFormed()) return id;
  throw invalid('"id" is a whole number or a text of 1 to 64 characters.');
}

interface Body {
  /** The JSON of the message. */
  readonly text: string;
  /** What followed it in a binary message. */
  readonly payload: Buffer | undefined;
}

function messageOf(fields: Fields, id: RequestId | undefined, body: Body): ClientMessage {
  const { type } = fields;
  if (body.payload !== undefined && type !== 'publish') {
    throw invalid('Of a client\'s messages only "publish" is sent as a binary message.');
  }
  switch (type) {
    case 'auth':
      return { type, id, token: textField(fields, 'token') ?? missing('token') };
    case 'ping':
      return { type, id };
    case 'subscribe':
      return subscribeOf(fields, id ?? missing('id'));
    case 'unsubscribe':
      return { type, id: id ?? missing('id'), filters: filtersOf(fields) };
    case 'publish':
      return publishOf(fields, id ?? missing('id'), body);
    case 'presence':
      return {
        ...{ type, id: id ?? missing('id'), request: parsePresence(fields) },
        topic: textField(fields, 'topic') ?? missing('topic'),
      };
    default:
      throw invalid(
        `"type" is ${typeof type === 'string' ? quote(type) : 'no text'}; it is one of auth, subscribe, unsubscribe, publish, presence and ping.`,
      );
  }
}

function subscribeOf(fields: Fields, id: RequestId): Subscribe {
  return {
    type: 'subscribe',
    id,
    filters: filtersOf(fields),
    after: parseAfter([textField(fields, 'after')]),
    retained: flag(fields, 'retained'),
  };
}

function filtersOf({ filters }: Fields): readonly string[] {
  const given: readonly unknown[] = Array.isArray(filters) ? filters : [];
  if (given.length > 0 && given.every((filter) => typeof filter === 'string')) return given;
  throw invalid('"filters" is a list of at least one topic filter, for example ["orders/#"].');
}

function publishOf(fields: Fields, id: RequestId, body: Body): Publish {
  const { contentType, payload } = payloadOf(fields, body);
  return {
    type: 'publish',
    id,
    submission: {
      topic: textField(fields, 'topic') ?? missing('topic'),
      payload,
      contentType: textField(fields, 'contentType') ?? contentType,
      id: textField(fields, 'publication'),
      type: textField(fields, 'event'),
      attributes: attributesOf(fields),
      retain: flag(fields, 'retain'),
      ttlMs: ttlOf(fields),
    },
    trace: {
      traceparent: textField(fields, 'traceparent'),
      tracestate: textField(fields, 'tracestate'),
      baggage: textField(fields, 'baggage'),
    },
  };
}

function payloadOf(
  fields: Fields,
  { text, payload }: Body,
): { readonly contentType: string; readonly payload: Buffer } {
  const own = textField(fields, 'text');
  const given = [payload, fields.data, own].filter((one) => one !== undefined);
  if (given.length > 1)
    throw invalid('A publish has "data", "text" or the bytes of a binary message, not two of them.');
  if (fields.data !== undefined)
    return { contentType: 'application/json', payload: Buffer.from(rawData(text)) };
  if (own !== undefined) return { contentType: 'text/plain; charset=utf-8', payload: Buffer.from(own) };
  return { contentType: 'application/octet-stream', payload: payload ?? Buffer.alloc(0) };
}

/** As it is written: parsed and written again, a long number would lose digits. Of several the last, as JSON.parse does. */
function rawData(text: string): string {
  let data = '';
  for (const [name, value] of members(text)) if (name === 'data') data = value;
  return data;
}

function attributesOf({ attributes }: Fields): Attributes | undefined {
  if (attributes === undefined) return undefined;
  const pairs: readonly unknown[] =
    typeof attributes === 'object' && attributes !== null
      ? Array.isArray(attributes)
        ? attributes
        : Object.entries(attributes)
      : [undefined];
  if (pairs.every(isPair)) return pairs;
  throw invalid('"attributes" is an object of texts, or a list of pairs of a name and a value.');
}

const isPair = (pair: unknown): pair is readonly [string, string] =>
  Array.isArray(pair) && pair.length === 2 && pair.every((one) => typeof one === 'string');

function ttlOf(fields: Fields): number | undefined {
  const seconds = numberField(fields, 'ttl');
  return seconds === undefined ? undefined : seconds * 1_000;
}
