import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';
import { byteLength, parseTopic, quote, type Topic } from './topic.ts';

/** Names and values in the order given; a name may repeat (MQTT user properties do). */
export type Attributes = readonly (readonly [name: string, value: string])[];

/** What a publisher hands over. */
export interface Draft {
  /** Chosen by the publisher; with `source` and the topic it makes a retry recognisable. */
  readonly id: string;
  readonly source: string;
  readonly topic: Topic;
  readonly contentType: string;
  readonly payload: Uint8Array;
  readonly type?: string;
  readonly attributes?: Attributes;
  /** Keep this as the topic's retained publication; an empty payload clears it. */
  readonly retain?: boolean;
  /** Unix time in milliseconds after which nobody is given this any more. */
  readonly expiresAt?: number;
  /** The connection that published, so that "no local" subscriptions can skip it. */
  readonly origin?: string;
  /** The trace this belongs to; it travels to whoever delivers, not to subscribers. */
  readonly trace?: TraceContext;
  /**
   * How long the log keeps it, in milliseconds, as its topic's policy says; absent: as long as anything. It ends
   * the history, not the retained copy. A stored publication does not have it.
   */
  readonly keepMs?: number;
}

/** W3C Trace Context and Baggage, as their headers say it; checked by who took it in. */
export interface TraceContext {
  /** `traceparent` */
  readonly parent: string;
  /** `tracestate` */
  readonly state?: string;
  readonly baggage?: string;
}

/** What was stored: a draft with the place and time the log gave it. */
export interface Publication extends Draft {
  /** Unix time in milliseconds at which the log stored it. */
  readonly time: number;
  readonly shard: number;
  /** Position within the shard, from 1. */
  readonly sequence: number;
}

/** CloudEvents `type` of a publication whose publisher named none. */
export const defaultType = 'pushfleet.publication';

/** A draft as it comes out of a request: every field still to be checked. */
export interface RawDraft extends Omit<Draft, 'topic'> {
  readonly topic: string;
}

// RFC 3339 and protobuf's Timestamp know no later one: a subscriber could not be told of it.
const latest = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Whether a publication may expire at this time: Unix milliseconds up to the year 9999. */
export const isExpiry = (time: number): boolean => Number.isSafeInteger(time) && time > 0 && time <= latest;

// A control character would break out of a header line or an SSE field.
const control = /[\u0000-\u001f\u007f]/;

function checkText(code: 'id_invalid' | 'attribute_invalid', what: string, text: string, most: number): void {
  if (text.length === 0)
    throw new PushfleetError(code, `The ${what} is empty; give it at least one character.`);
  if (byteLength(text) > most) {
    throw new PushfleetError(
      code,
      `The ${what} is ${byteLength(text)} bytes of UTF-8; at most ${most} are allowed.`,
    );
  }
  if (control.test(text) || !text.isWellFormed()) {
    throw new PushfleetError(
      code,
      `The ${what} ${quote(text)} has a control character or is not valid Unicode.`,
    );
  }
}

function checkAttributes(attributes: Attributes): void {
  if (attributes.length > limits.attributes) {
    throw new PushfleetError(
      'attribute_invalid',
      `A publication has at most ${limits.attributes} attributes; this one has ${attributes.length}.`,
    );
  }
  let bytes = 0;
  for (const [name, value] of attributes) {
    if (name.length === 0) throw new PushfleetError('attribute_invalid', 'An attribute has no name.');
    if (!name.isWellFormed() || !value.isWellFormed() || name.includes('\0') || value.includes('\0')) {
      throw new PushfleetError('attribute_invalid', `The attribute ${quote(name)} is not UTF-8 without NUL.`);
    }
    bytes += byteLength(name) + byteLength(value);
  }
  if (bytes > limits.attributesBytes) {
    throw new PushfleetError(
      'attribute_invalid',
      `The attributes are ${bytes} bytes together; at most ${limits.attributesBytes} are allowed.`,
    );
  }
}

/**
 * Checks every field of a draft against the fleet's limits.
 *
 * @param payloadBytes the largest payload accepted, in bytes
 * @throws PushfleetError `topic_invalid`, `id_invalid`, `attribute_invalid` or `payload_too_large`
 */
export function parseDraft(raw: RawDraft, payloadBytes: number = limits.payloadBytes): Draft {
  const topic = parseTopic(raw.topic);
  checkText('id_invalid', 'id', raw.id, limits.idBytes);
  checkText('attribute_invalid', 'source', raw.source, limits.nameBytes);
  checkText('attribute_invalid', 'content type', raw.contentType, limits.contentTypeBytes);
  if (raw.type !== undefined) checkText('attribute_invalid', 'type', raw.type, limits.nameBytes);
  if (raw.attributes !== undefined) checkAttributes(raw.attributes);
  if (raw.expiresAt !== undefined && !isExpiry(raw.expiresAt)) {
    throw new PushfleetError(
      'attribute_invalid',
      'The expiry is a Unix time in whole milliseconds, up to the year 9999; leave it out to keep the publication as long as the log does.',
    );
  }
  if (raw.payload.length > payloadBytes) {
    throw new PushfleetError(
      'payload_too_large',
      `The payload has ${raw.payload.length} bytes; at most ${payloadBytes} are allowed.`,
      { detail: { limit: payloadBytes } },
    );
  }
  return { ...raw, topic };
}
