import { elements, members, PushfleetError, quote, writeJson } from '@pushfleet/core';

// Bayeux 1.0, "Messages" and "Common Message Field Definitions": what a client sends.

/** A message as it came: an object, none of whose fields but the channel was looked at. */
export interface Message {
  readonly channel: string;
  readonly [field: string]: unknown;
}

/** What a message may say in `ext`, for this server: everything else is another extension's. */
export interface OwnExt {
  /** A token instead of an Authorization header, in a handshake. */
  readonly token?: string;
  /** Where a subscription resumes. */
  readonly after?: string;
  /** A subscription is given the retained publications first. */
  readonly retained?: boolean;
  /** The id of the publication. */
  readonly id?: string;
  readonly type?: string;
  readonly retain?: boolean;
  /** For how long the publication may be delivered, in seconds. */
  readonly ttl?: number;
  /** Of the payload where it is no JSON: `data` is its text then. */
  readonly contentType?: string;
  /** The trace that the publication belongs to. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly baggage?: string;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The messages of a request's texts: each an array of messages or one message.
 *
 * @param most messages of one request
 * @throws PushfleetError `request_invalid`, with the limit in its detail where there are too many
 */
export function parseMessages(texts: readonly string[], most: number): readonly Message[] {
  const all = texts.flatMap(valuesOf);
  if (all.length > most) {
    throw new PushfleetError(
      'request_invalid',
      `The request has ${all.length} messages; at most ${most} are read. Send them in several requests.`,
      { detail: { limit: most } },
    );
  }
  return all.map(parseMessage);
}

function valuesOf(text: string): readonly unknown[] {
  const value = parseJson(text);
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (manyDigits.test(text)) {
    const each = Array.isArray(value) ? [...elements(text)] : [text];
    each.forEach((one, i) => {
      noteData(values[i], one);
    });
  }
  return values;
}

// JSON.parse gives a number of so many digits as another one.
const manyDigits = /\d{16}/;
const dataTexts = new WeakMap<object, string>();

function noteData(value: unknown, text: string): void {
  if (!isObject(value)) return;
  for (const [name, data] of members(text)) if (name === 'data') dataTexts.set(value, data);
}

/** The `data` of a message as JSON, digit by digit as it came. @throws PushfleetError where they are nested too deeply */
export const dataText = (message: Message): string => dataTexts.get(message) ?? writeJson(message.data);

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new PushfleetError('request_invalid', 'The body is no JSON; send an array of Bayeux messages.');
  }
}

/** "A Bayeux message MUST contain one and only one channel field." */
function parseMessage(value: unknown): Message {
  if (isObject(value) && typeof value.channel === 'string') return value as Message;
  throw new PushfleetError(
    'request_invalid',
    `A Bayeux message is an object with a channel; ${quote(writeJson(value))} is not.`,
  );
}

/** A field that is a text, where it is there. @throws PushfleetError `request_invalid` */
export function textField(message: Message, name: string): string | undefined {
  const value = message[name];
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined;
  throw new PushfleetError('request_invalid', `The field "${name}" is no text.`);
}

/** The `id`, to be repeated as it is; clients send texts, and some send numbers. */
export function idOf({ id }: Message): string | number | undefined {
  return typeof id === 'string' || typeof id === 'number' ? id : undefined;
}

/** The channels of a subscribe or unsubscribe message. @throws PushfleetError `request_invalid` */
export function subscriptionsOf({ subscription }: Message, most: number): readonly string[] {
  const list: unknown[] = Array.isArray(subscription) ? subscription : [subscription];
  if (list.length === 0 || !list.every((one): one is string => typeof one === 'string')) {
    throw new PushfleetError(
      'request_invalid',
      'The field "subscription" is a channel, or a list of channels.',
    );
  }
  if (list.length <= most) return [...new Set(list)];
  throw new PushfleetError(
    'too_many_filters',
    `The message names ${list.length} channels; a session holds at most ${most}. Use a pattern such as "/orders/**".`,
    { detail: { limit: most } },
  );
}

/** The advice of a client on how long to wait, in milliseconds ("Bayeux servers SHOULD honor timeout advices"). */
export function timeoutOf({ advice }: Message): number | undefined {
  const timeout = isObject(advice) ? advice.timeout : undefined;
  return typeof timeout === 'number' && timeout >= 0 ? timeout : undefined;
}

/** What the acknowledgement extension says: in a handshake that it is spoken, in a connect the last batch received. */
export function ackOf({ ext }: Message): boolean | number | undefined {
  const ack = isObject(ext) ? ext.ack : undefined;
  return typeof ack === 'boolean' || typeof ack === 'number' ? ack : undefined;
}

/** `ext.authentication.token` is where some clients of cometd put it. */
export function tokenOf({ ext }: Message): string | undefined {
  if (!isObject(ext)) return undefined;
  for (const holder of [ext.pushfleet, ext.authentication]) {
    if (isObject(holder) && typeof holder.token === 'string') return holder.token;
  }
  return undefined;
}

const ownFields: Readonly<Record<keyof OwnExt, string>> = {
  token: 'string',
  after: 'string',
  retained: 'boolean',
  id: 'string',
  type: 'string',
  retain: 'boolean',
  ttl: 'number',
  contentType: 'string',
  traceparent: 'string',
  tracestate: 'string',
  baggage: 'string',
};

/** `ext.pushfleet`. @throws PushfleetError `request_invalid` where a member of it is of another type */
export function ownExt({ ext }: Message): OwnExt {
  const own = isObject(ext) ? ext.pushfleet : undefined;
  if (!isObject(own)) return {};
  for (const [name, type] of Object.entries(ownFields)) {
    if (own[name] === undefined || typeof own[name] === type) continue;
    throw new PushfleetError('request_invalid', `The field ext.pushfleet.${name} is no ${type}.`);
  }
  return own;
}
