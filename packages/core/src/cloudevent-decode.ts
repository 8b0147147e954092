import { type ContextAttribute, standard } from './cloudevent-attributes.ts';
import { bytesOfBase64, isJsonType, isUtf8Type } from './content.ts';
import { PushfleetError } from './error.ts';
import { type EventDraft, illegal, mostAttributes, readAttributes } from './event-draft.ts';
import { elements, members } from './json-text.ts';
import { limits } from './limits.ts';
import { percentDecode } from './percent.ts';
import { quote } from './topic.ts';

/**
 * Reads one event in the JSON format (structured content mode).
 *
 * @throws PushfleetError `request_invalid` or `attribute_invalid`
 */
export function decodeCloudEvent(body: Uint8Array): EventDraft {
  return eventOf(parse(body));
}

/**
 * Reads a JSON batch: events, or what is wrong with one, in their order. It may be empty.
 *
 * @throws PushfleetError `request_invalid` where the body is no JSON array of at most 1,000
 */
export function decodeCloudEventBatch(body: Uint8Array): readonly (EventDraft | PushfleetError)[] {
  const text = parse(body);
  if (!text.startsWith('[')) throw invalid('A batch of CloudEvents is a JSON array (JSON format 4.1).');
  const events: (EventDraft | PushfleetError)[] = [];
  for (const element of elements(text)) {
    if (events.length === limits.batchDrafts) {
      throw new PushfleetError(
        'request_invalid',
        `A batch has at most ${limits.batchDrafts} events; send the others in another.`,
        { detail: { limit: limits.batchDrafts } },
      );
    }
    events.push(attempt(() => eventOf(element)));
  }
  return events;
}

/**
 * Reads an event in binary content mode (HTTP binding 3.1).
 *
 * @param rawHeaders names and values in turn, as node:http gives them; those without `ce-` do not matter
 * @throws PushfleetError `attribute_invalid`
 */
export function decodeBinaryEvent(rawHeaders: readonly string[], payload: Uint8Array): EventDraft {
  const attributes: ContextAttribute[] = [];
  let contentType: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const header = (rawHeaders[i] as string).toLowerCase();
    const value = rawHeaders[i + 1] as string;
    if (header === 'content-type') contentType ??= utf8Of(value);
    if (!header.startsWith('ce-')) continue;
    if (header === 'ce-datacontenttype') {
      throw illegal('ce-datacontenttype', 'in binary mode it is the Content-Type (HTTP binding 3.1.1)');
    }
    attributes.push([header.slice(3), percentDecode(unquoted(value), 'attribute_invalid', header)]);
  }
  return { ...readAttributes(attributes), contentType, payload };
}

// HTTP binding 3.1.3.2: a quoted string (RFC 7230 section 3.2.6) loses its quotes before escapes are decoded.
function unquoted(value: string): string {
  const inner = /^"((?:[^"\\]|\\.)*)"$/s.exec(value)?.[1];
  return inner?.replace(/\\(.)/gs, '$1') ?? value;
}

// Bytes that are UTF-8 mean that, others are what node:http made of them.
function utf8Of(header: string): string {
  try {
    return utf8.decode(Buffer.from(header, 'latin1'));
  } catch {
    return header;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The body's text, known to be JSON, without white space before it. */
function parse(body: Uint8Array): string {
  try {
    const text = utf8.decode(body);
    JSON.parse(text);
    return text.trimStart();
  } catch (error) {
    throw invalid(`The body is not JSON in UTF-8: ${(error as Error).message}.`);
  }
}

function eventOf(text: string): EventDraft {
  if (!text.startsWith('{')) throw invalid('A CloudEvent is a JSON object (JSON format 3).');
  const attributes: ContextAttribute[] = [];
  const data = new Map<string, string>();
  for (const [name, value] of members(text)) {
    if (name === 'data' || name === 'data_base64') {
      if (data.has(name)) throw invalid(`The event has "${name}" twice.`);
      data.set(name, value);
    } else if (value !== 'null') {
      // JSON format 2.2: null is as good as absent.
      attributes.push([name, canonical(name, value)]);
      if (attributes.length > mostAttributes) break;
    }
  }
  const { contentType, ...read } = readAttributes(attributes);
  return { ...read, ...content(contentType, data.get('data'), data.get('data_base64')) };
}

// JSON format 2.2: a Boolean, an Integer (without fraction and exponent, of 32 bits) or a string.
function canonical(name: string, value: string): string {
  if (value.startsWith('"')) return JSON.parse(value) as string;
  if (!standard.has(name)) {
    if (value === 'true' || value === 'false') return value;
    if (/^-?\d+$/.test(value) && (Number(value) | 0) === Number(value)) return String(Number(value) | 0);
  }
  const kinds = standard.has(name) ? 'a string' : 'a string, true, false or an integer of 32 bits';
  throw illegal(name, `its value is ${kinds}, not ${value.length > 60 ? `${value.slice(0, 60)}…` : value}`);
}

/** JSON format 3.1.2. */
function content(
  contentType: string | undefined,
  data: string | undefined,
  base64: string | undefined,
): Pick<EventDraft, 'contentType' | 'payload'> {
  if (base64 !== undefined && base64 !== 'null') {
    if (data !== undefined)
      throw invalid('An event has "data" or "data_base64", not both (JSON format 3.1.1).');
    const payload = base64.startsWith('"') ? bytesOfBase64(JSON.parse(base64) as string) : undefined;
    if (payload !== undefined) return { contentType, payload };
    throw invalid('"data_base64" is a string of base64 with padding (RFC 4648 section 4).');
  }
  if (data === undefined) return { contentType, payload: new Uint8Array() };
  if (contentType !== undefined && !isUtf8Type(contentType)) {
    throw invalid(
      `"data" is stored as UTF-8, which datacontenttype ${quote(contentType)} is not; give the bytes as "data_base64".`,
    );
  }
  // Without a type the data is JSON. It stays as it is written: digits, escapes and white space.
  const type = contentType ?? 'application/json';
  if (isJsonType(type)) return { contentType: type, payload: Buffer.from(data) };
  const text: unknown = data.startsWith('"') ? JSON.parse(data) : undefined;
  if (typeof text === 'string' && text.isWellFormed())
    return { contentType: type, payload: Buffer.from(text) };
  throw invalid(
    `"data" under datacontenttype ${quote(type)} is a string of valid Unicode; give bytes as "data_base64".`,
  );
}

function attempt(read: () => EventDraft): EventDraft | PushfleetError {
  try {
    return read();
  } catch (error) {
    return PushfleetError.from(error);
  }
}

const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
