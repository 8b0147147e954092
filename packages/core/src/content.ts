import { isUtf8 } from 'node:buffer';
import type { Publication } from './publication.ts';

// Content types besides text/* whose bytes are meant to be read as characters.
const textual =
  /^(text\/.+|.+\/(json|xml|yaml|javascript|ecmascript|graphql|sql|toml|x-ndjson|x-www-form-urlencoded|x-yaml)|.+\+(json|xml|yaml))$/;
const charsetOf = /;\s*charset\s*=\s*"?([^\s";]+)/i;

/** The media type without parameters, in lower case: `application/json; charset=utf-8` is `application/json`. */
export function mediaType(contentType: string): string {
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/** Whether the content type says JSON: CloudEvents JSON format 3.1.1, a subtype of `json` or with `+json`. */
export function isJsonType(contentType: string): boolean {
  return /[/+]json$/.test(mediaType(contentType));
}

/** Whether text under this content type is UTF-8: it says so, or says no charset. */
export function isUtf8Type(contentType: string): boolean {
  const charset = charsetOf.exec(contentType)?.[1]?.toLowerCase() ?? 'utf-8';
  return charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii';
}

/**
 * Whether a payload can be shown as characters: its content type says text in UTF-8 (or says no charset), and
 * its bytes are valid UTF-8. Anything else travels as base64 wherever a protocol carries characters only.
 */
export function isText(publication: Pick<Publication, 'contentType' | 'payload'>): boolean {
  const { contentType, payload } = publication;
  return textual.test(mediaType(contentType)) && isUtf8Type(contentType) && isUtf8(payload);
}

/** The payload's characters; meaningful where `isText` holds. */
export function textOf(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
}

/** The payload in base64, RFC 4648 section 4. */
export function base64Of(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('base64');
}

/** The bytes of base64 with padding, RFC 4648 section 4; undefined where it is none. */
export function bytesOfBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  // The decoder passes over what is not base64; only text of the encoder's own making comes back the same.
  return bytes.toString('base64') === text ? bytes : undefined;
}
