import { attributesOf } from './cloudevent-attributes.ts';
import { base64Of, isJsonType, isText, textOf } from './content.ts';
import type { Cursor } from './cursor.ts';
import { percentEncode } from './percent.ts';
import type { Publication } from './publication.ts';

/** The media types of the JSON event format (3) and the JSON batch format (4.2). */
export const eventMediaType = 'application/cloudevents+json';
export const eventBatchMediaType = 'application/cloudevents-batch+json';

/**
 * A publication in the CloudEvents 1.0 JSON format, one line of JSON unless the payload is JSON with line
 * breaks of its own. Beside the standard's attributes it has `pushfleetcursor`, where to resume if that is known, and what
 * `attributesOf` says of the fleet's other extensions.
 */
export function encodeCloudEvent(publication: Publication, cursor: Cursor | undefined): string {
  const attributes = attributesOf(publication, cursor).map(
    ([name, value]) => `"${name}":${JSON.stringify(value)}`,
  );
  const data = publication.payload.length === 0 ? '' : `,${dataMember(publication)}`;
  return `{${attributes.join(',')}${data}}`;
}

// CloudEvents JSON format 3.1.1: JSON content is the value of `data` itself, other text a string, the rest
// `data_base64`. JSON goes in as it came: parsed and written again, a long number would lose digits.
function dataMember(publication: Publication): string {
  if (!isText(publication)) return `"data_base64":"${base64Of(publication.payload)}"`;
  const text = textOf(publication.payload);
  if (!isJsonType(publication.contentType)) return `"data":${JSON.stringify(text)}`;
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

/**
 * The headers of a publication in binary content mode (HTTP binding 3.1); the payload is the body, as it is. Names
 * are in lower case. Where `needsStructuredMode` holds, a receiver would misread the message.
 */
export function binaryHeaders(publication: Publication, cursor: Cursor): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of attributesOf(publication, cursor)) {
    // 3.1.1: datacontenttype is Content-Type, and no ce- header. It has no escapes; UTF-8 passes as it is.
    if (name === 'datacontenttype') headers['content-type'] = Buffer.from(value).toString('latin1');
    else headers[`ce-${name}`] = percentEncode(value);
  }
  return headers;
}

/**
 * Whether the payload's own content type is one of CloudEvents: in binary mode a receiver would take the payload
 * for the event (HTTP binding 3).
 */
export function needsStructuredMode({ contentType }: Pick<Publication, 'contentType'>): boolean {
  return /^\s*application\/cloudevents/i.test(contentType);
}

/** Most bytes of a publication's own headers in binary mode: HTTP software gives up at 8 or 16 KiB, others included. */
const headerBytes = 8_192;

/** Whether what `binaryHeaders` gave is short enough for others to take; else structured mode serves. */
export function fitsHeaders(headers: Readonly<Record<string, string>>): boolean {
  let bytes = 0;
  for (const name in headers) bytes += name.length + (headers[name] as string).length + ': \r\n'.length;
  return bytes <= headerBytes;
}
