import {
  type Attributes,
  bytesOfBase64,
  elements,
  isJsonType,
  members,
  PushfleetError,
  quote,
} from '@pushfleet/core';
import { checkBatch, type Submission } from '@pushfleet/intake';

const utf8 = new TextDecoder('utf-8', { fatal: true });
const fields = [
  'topic',
  'id',
  'source',
  'type',
  'contentType',
  'payload',
  'payloadBase64',
  'attributes',
  'retain',
  'ttl',
];

/**
 * The drafts of a JSON array, each by itself: what is wrong with one is its own error.
 *
 * @throws PushfleetError `request_invalid` where the body is no array of 1 to 1,000
 */
export function readBatch(body: Uint8Array): readonly (Submission | PushfleetError)[] {
  const { text, value: drafts } = parse(body);
  if (!Array.isArray(drafts)) {
    throw new PushfleetError(
      'request_invalid',
      'The body is a JSON array of drafts: [{"topic": "a/b", "payload": 1}].',
    );
  }
  checkBatch(drafts.length);
  return Array.from(elements(text), (element, index) => {
    try {
      return submission(drafts[index], element);
    } catch (error) {
      return PushfleetError.from(error);
    }
  });
}

function parse(body: Uint8Array): { readonly text: string; readonly value: unknown } {
  try {
    const text = utf8.decode(body);
    return { text, value: JSON.parse(text) };
  } catch (error) {
    throw new PushfleetError(
      'request_invalid',
      `The body is not JSON in UTF-8: ${(error as Error).message}.`,
    );
  }
}

function submission(draft: unknown, text: string): Submission {
  if (!isRecord(draft)) throw invalid(`A draft is a JSON object with ${fields.join(', ')}.`);
  const unknown = Object.keys(draft).find((name) => !fields.includes(name));
  if (unknown !== undefined)
    throw invalid(`A draft has no field ${quote(unknown)}; it has ${fields.join(', ')}.`);
  const topic = take(draft, 'topic', 'string');
  if (topic === undefined) throw new PushfleetError('topic_invalid', 'The draft has no "topic".');
  const ttl = take(draft, 'ttl', 'number');
  return {
    topic,
    id: take(draft, 'id', 'string'),
    source: take(draft, 'source', 'string'),
    type: take(draft, 'type', 'string'),
    retain: take(draft, 'retain', 'boolean'),
    ttlMs: ttl === undefined ? undefined : ttl * 1_000,
    attributes: attributes(draft.attributes),
    ...content(draft, text),
  };
}

interface Kinds {
  readonly string: string;
  readonly number: number;
  readonly boolean: boolean;
}

function take<K extends keyof Kinds>(
  draft: Record<string, unknown>,
  name: string,
  kind: K,
): Kinds[K] | undefined {
  const value = draft[name];
  if (value === undefined || typeof value === kind) return value as Kinds[K] | undefined;
  throw invalid(`"${name}" of a draft is a ${kind}, not ${value === null ? 'null' : typeof value}.`);
}

/** `payload` follows CloudEvents' `data`: any JSON under a JSON content type, else text; bytes go by `payloadBase64`. */
function content(draft: Record<string, unknown>, text: string): Pick<Submission, 'payload' | 'contentType'> {
  const contentType = take(draft, 'contentType', 'string');
  const base64 = take(draft, 'payloadBase64', 'string');
  const { payload } = draft;
  if (base64 !== undefined) {
    if (payload !== undefined) throw invalid('A draft has "payload" or "payloadBase64", not both.');
    return { contentType, payload: decodeBase64(base64) };
  }
  if (payload === undefined) return { contentType, payload: new Uint8Array() };
  if (contentType === undefined || isJsonType(contentType)) {
    return { contentType: contentType ?? 'application/json', payload: Buffer.from(payloadIn(text)) };
  }
  if (typeof payload === 'string') return { contentType, payload: Buffer.from(payload) };
  throw invalid(
    `"payload" under contentType ${quote(contentType)} is a string; give bytes as "payloadBase64".`,
  );
}

/** JSON stays as it is written: parsed and written again, a long number would be another one. */
function payloadIn(text: string): string {
  let payload = '';
  // Where a name comes twice, `JSON.parse` takes the last.
  for (const [name, value] of members(text)) if (name === 'payload') payload = value;
  return payload;
}

function decodeBase64(text: string): Uint8Array {
  const bytes = bytesOfBase64(text);
  if (bytes !== undefined) return bytes;
  throw invalid('"payloadBase64" is not base64 with padding (RFC 4648 section 4).');
}

/** An object, or a list of pairs where order matters or a name repeats. */
function attributes(value: unknown): Attributes | undefined {
  if (value === undefined) return undefined;
  const pairs: unknown = isRecord(value) ? Object.entries(value) : value;
  if (!Array.isArray(pairs) || !pairs.every(isPair)) {
    throw invalid('"attributes" is an object of strings, or a list of [name, value] pairs of strings.');
  }
  return pairs;
}

const isPair = (pair: unknown): pair is readonly [string, string] =>
  Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string');

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
