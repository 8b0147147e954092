import { base64Of, type Cursor, isJsonType, isText, type Publication, textOf } from '@pushfleet/core';
import type { Encodable } from '@pushfleet/hub';
import { channelOf } from './channel.ts';

// Bayeux 1.0, "Delivery": what a publication is to a client.

/**
 * A publication as the JSON text of an event message; undefined where Bayeux has no channel for its topic. JSON is
 * `data` as it came (parsed and written again, a long number would lose digits), other text is a string, and what is
 * not text an object as in the CloudEvents JSON format: `{datacontenttype, data_base64}`.
 */
export function eventText({ publication, cursor, retained }: Encodable): string | undefined {
  const channel = channelOf(publication.topic);
  if (channel === undefined) return undefined;
  const { id } = publication;
  const ext = { pushfleet: about(publication, cursor, retained) };
  return `{"channel":${JSON.stringify(channel)},"data":${dataOf(publication)},"id":${JSON.stringify(id)},"ext":${JSON.stringify(ext)}}`;
}

function about(publication: Publication, cursor: Cursor, retained: boolean): object {
  const { id, source, time, type, contentType, attributes } = publication;
  return {
    cursor,
    id,
    source,
    time: new Date(time).toISOString(),
    ...(type !== undefined && { type }),
    ...(!isJsonType(contentType) && { contentType }),
    ...(attributes !== undefined && attributes.length > 0 && { attributes }),
    ...(retained && { retained }),
  };
}

function dataOf({ contentType, payload }: Publication): string {
  if (isText({ contentType, payload })) {
    const text = textOf(payload);
    if (!isJsonType(contentType)) return JSON.stringify(text);
    if (isJson(text)) return text;
  }
  return JSON.stringify({ datacontenttype: contentType, data_base64: base64Of(payload) });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Where clients hear that publications between two cursors can no longer be given. */
const gapChannel = '/service/gap';

export const gapText = (from: Cursor, to: Cursor): string =>
  JSON.stringify({ channel: gapChannel, data: { from, to } });
