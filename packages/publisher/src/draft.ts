import type { Draft } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { PublishError } from './error.ts';
import { newId } from './id.ts';

/** What can be told of a publication beside its topic and payload. */
export interface PublishOptions {
  /**
   * Recognises a retry: within the duplicate window the log keeps one publication for each id of a source on a topic.
   * A UUIDv7 is made up where it is absent; the publisher's own retries keep it either way. At most 256 bytes.
   */
  readonly id?: string;
  /** What happened, as a CloudEvents type. */
  readonly type?: string;
  /** Keep it as the topic's retained publication; with an empty payload the one kept is cleared. */
  readonly retain?: boolean;
  /** For how many seconds it may be delivered, from its arrival at the fleet; fractions are allowed. */
  readonly ttl?: number;
  /** At most 64, and 8,192 bytes together. A list of pairs where order matters or a name repeats. */
  readonly attributes?:
    | Readonly<Record<string, string>>
    | readonly (readonly [name: string, value: string])[];
  /** The media type; absent it follows from the payload. */
  readonly contentType?: string;
}

/**
 * Bytes go as they are (`application/octet-stream`), a string as UTF-8 text (`text/plain; charset=utf-8`), anything
 * else as JSON (`application/json`).
 */
export type Payload = Uint8Array | string | number | boolean | null | object;

const octets = 'application/octet-stream';
const text = 'text/plain; charset=utf-8';
const json = 'application/json';

/** The message as it is sent, however often; nothing in it changes when the caller's objects do. */
export function toDraft(topic: string, payload: Payload, o: PublishOptions, source: string): Draft {
  const encoded = encode(payload);
  return {
    id: o.id ?? newId(Date.now()),
    source,
    topic,
    contentType: o.contentType ?? encoded.contentType,
    payload: encoded.bytes,
    type: o.type ?? '',
    attributes: pairs(o.attributes),
    retain: o.retain ?? false,
    ttl: o.ttl === undefined ? undefined : duration(o.ttl),
    traceparent: '',
  };
}

function encode(payload: Payload): { bytes: Buffer; contentType: string } {
  if (payload instanceof Uint8Array) return { bytes: Buffer.from(payload), contentType: octets };
  if (typeof payload === 'string') return { bytes: Buffer.from(payload), contentType: text };
  let written: string | undefined;
  try {
    written = JSON.stringify(payload);
  } catch (cause) {
    throw new PublishError('request_invalid', 'The payload has no JSON form; nothing was stored.', { cause });
  }
  if (written !== undefined) return { bytes: Buffer.from(written), contentType: json };
  throw new PublishError(
    'request_invalid',
    `The payload is ${typeof payload}; give JSON, a string or a Uint8Array.`,
  );
}

function pairs(attributes: PublishOptions['attributes'] = []): { name: string; value: string }[] {
  const list: readonly (readonly [string, string])[] = Array.isArray(attributes)
    ? attributes
    : Object.entries(attributes);
  return list.map(([name, value]) => ({ name, value }));
}

function duration(seconds: number): Draft['ttl'] {
  if (!(seconds > 0 && seconds < 1e11)) {
    throw new PublishError(
      'attribute_invalid',
      `A ttl of ${seconds} s cannot be kept; give seconds above 0.`,
    );
  }
  const nanos = Math.round((seconds % 1) * 1e9);
  return { seconds: BigInt(Math.trunc(seconds)), nanos: Math.min(nanos, 999_999_999) };
}

// The tags and lengths of its fields, and those of a fixed length; rather too much than too little.
const overheadBytes = 128;

/** What the draft takes of a message at the most, in bytes. */
export function sizeOf({ id, source, topic, contentType, payload, type, attributes }: Draft): number {
  let bytes = overheadBytes + payload.length;
  for (const part of [id, source, topic, contentType, type]) bytes += Buffer.byteLength(part);
  for (const { name, value } of attributes) bytes += 8 + Buffer.byteLength(name) + Buffer.byteLength(value);
  return bytes;
}
