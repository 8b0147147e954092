import {
  base64Of,
  type Cursor,
  encodeCloudEvent,
  isText,
  mediaType,
  type Publication,
  textOf,
} from '@pushfleet/core';

// The event stream format of the WHATWG HTML standard, section 9.2, as this edge speaks it.

/** What `data` holds: the payload alone, or the publication as CloudEvents JSON. */
export type Format = 'payload' | 'cloudevents';

/**
 * A publication as an event.
 *
 * - `payload`: `data` is the text, its line endings turned into LF; `event` is the type. What is not text comes
 *   as a data URL (RFC 2397) in base64, and so does text that itself begins with `data:`: whatever begins with
 *   `data:` is to be decoded, whatever does not is the payload.
 * - `cloudevents`: `data` is the envelope; there is no `event`, so that one onmessage receives every type. Its
 *   attribute `pushfleetretained` is true where the publication is given because it is its topic's retained one.
 */
export function publicationEvent(
  format: Format,
  publication: Publication,
  cursor: Cursor,
  retained = false,
): string {
  if (format === 'cloudevents') {
    const event = encodeCloudEvent(publication, cursor);
    return `id: ${cursor}\n${data(retained ? `{"pushfleetretained":true,${event.slice(1)}` : event)}`;
  }
  return `id: ${cursor}\n${eventField(publication.type)}${data(payloadText(publication))}`;
}

// EventSource fires `error` and `open` itself, `message` is the default, and `pushfleet.*` are this edge's own
// events: a publisher must not be able to imitate them. A line break would end the field.
const ownName = /^(?:error$|open$|message$|pushfleet\.)|[\0\r\n]/;

function eventField(type: string | undefined): string {
  return type === undefined || ownName.test(type) ? '' : `event: ${type}\n`;
}

function payloadText(publication: Publication): string {
  if (isText(publication)) {
    const text = textOf(publication.payload);
    if (!text.startsWith('data:')) return text;
  }
  const type = mediaType(publication.contentType);
  const legal = /^[\w.+-]+\/[\w.+-]+$/.test(type);
  return `data:${legal ? type : 'application/octet-stream'};base64,${base64Of(publication.payload)}`;
}

// CRLF, CR and LF all end a line of an event stream: each line of the text gets a field of its own.
function data(text: string): string {
  return `data: ${text.replaceAll(/\r\n|\r|\n/g, '\ndata: ')}\n\n`;
}

/**
 * The first bytes: a comment, so that proxies and clients see a body at once, and how long to wait before
 * coming back, because a client keeps an earlier `retry` for good.
 */
export const greeting = (retryMs: number): string => `: pushfleet\nretry: ${retryMs}\n\n`;

/** A comment that keeps idle connections alive. */
export const heartbeat = ':\n\n';

/** Moves the client's last event id without an event: no `data`, so nothing is dispatched. */
export const place = (cursor: Cursor): string => `id: ${cursor}\n\n`;

/** From here on every matching publication is given. */
export const opened = (cursor: Cursor): string => fleetEvent('open', { cursor }, cursor);

/** Publications between the two cursors can no longer be given. */
export const gap = (from: Cursor, to: Cursor): string => fleetEvent('gap', { from, to }, to);

/**
 * Why the response ends. Without `retryMs` a reconnect with the same credentials will be refused. There is no id:
 * the one that the client has is the place to resume from.
 */
export function closing(code: string, detail: string, retryMs: number | undefined): string {
  const retry = retryMs === undefined ? '' : `retry: ${retryMs}\n`;
  return `${retry}${fleetEvent('close', { code, detail, reconnect: retryMs !== undefined })}`;
}

function fleetEvent(name: string, value: object, cursor?: Cursor): string {
  const id = cursor === undefined ? '' : `id: ${cursor}\n`;
  return `${id}event: pushfleet.${name}\n${data(JSON.stringify(value))}`;
}
