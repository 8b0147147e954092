import { isUtf8 } from 'node:buffer';
import type { Cursor } from './cursor.ts';
import { defaultType, type Publication } from './publication.ts';

// Content types besides text/* whose bytes are meant to be read as characters.
const textual =
  /^(text\/.+|.+\/(json|xml|yaml|javascript|ecmascript|graphql|sql|toml|x-ndjson|x-www-form-urlencoded|x-yaml)|.+\+(json|xml|yaml))$/;
const charsetOf = /;\s*charset\s*=\s*"?([^\s";]+)/i;

/** The media type without parameters, in lower case: `application/json; charset=utf-8` is `application/json`. */
export function mediaType(contentType: string): string {
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/**
 * Whether a payload can be shown as characters: its content type says text in UTF-8 (or says no charset), and
 * its bytes are valid UTF-8. Anything else travels as base64 wherever a protocol carries characters only.
 */
export function isText(publication: Pick<Publication, 'contentType' | 'payload'>): boolean {
  if (!textual.test(mediaType(publication.contentType))) return false;
  const charset = charsetOf.exec(publication.contentType)?.[1]?.toLowerCase() ?? 'utf-8';
  return (charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii') && isUtf8(publication.payload);
}

/** The payload's characters; meaningful where `isText` holds. */
export function textOf(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
}

/** The payload in base64, RFC 4648 section 4. */
export function base64Of(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('base64');
}

/**
 * A publication in the CloudEvents 1.0 JSON format, one line of JSON unless the payload is JSON with line
 * breaks of its own. Beside the standard's attributes it has `pushfleetcursor`, where to resume, and, for
 * attributes that cannot be CloudEvents extensions, `pushfleetattributes`: a JSON list of [name, value] as a
 * string, since an extension's value is no list.
 */
export function encodeCloudEvent(publication: Publication, cursor: Cursor): string {
  const { extensions, others } = splitAttributes(publication);
  const envelope = JSON.stringify({
    specversion: '1.0',
    id: publication.id,
    source: publication.source,
    type: publication.type ?? defaultType,
    subject: publication.topic,
    time: new Date(publication.time).toISOString(),
    datacontenttype: publication.contentType,
    ...extensions,
    pushfleetcursor: cursor,
    ...(others.length > 0 && { pushfleetattributes: JSON.stringify(others) }),
  });
  if (publication.payload.length === 0) return envelope;
  return `${envelope.slice(0, -1)},${dataMember(publication)}}`;
}

// CloudEvents JSON format 3.1: JSON content is the value of `data` itself, other text a string, the rest
// `data_base64`. JSON goes in as it came: parsed and written again, a long number would lose digits.
function dataMember(publication: Publication): string {
  if (!isText(publication)) return `"data_base64":"${base64Of(publication.payload)}"`;
  const text = textOf(publication.payload);
  if (!/[/+]json$/.test(mediaType(publication.contentType))) return `"data":${JSON.stringify(text)}`;
  return isJson(text) ? `"data":${text}` : `"data_base64":"${base64Of(publication.payload)}"`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// CloudEvents 1.0 "Naming conventions" and the names that mean something else in this JSON. `dataschema` is not
// among them: it is the standard's own, and a publisher may give it.
const legalName = /^[a-z0-9]+$/;
const taken = new Set([
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'data',
  'pushfleetcursor',
  'pushfleetattributes',
]);
// CloudEvents 1.0 "Type system": a String has no control characters.
const control = /[\u0000-\u001f\u007f-\u009f]/;

function splitAttributes(publication: Publication): {
  extensions: Record<string, string>;
  others: (readonly [string, string])[];
} {
  const extensions: Record<string, string> = {};
  const others: (readonly [string, string])[] = [];
  const attributes = publication.attributes ?? [];
  for (const [name, value] of attributes) {
    const repeated = attributes.filter(([other]) => other === name).length > 1;
    const legal = legalName.test(name) && !taken.has(name) && !control.test(value) && !repeated;
    if (legal) extensions[name] = value;
    else others.push([name, value]);
  }
  return { extensions, others };
}
