import { bytesOfBase64, isJsonType, PushfleetError } from '@pushfleet/core';
import type { Submission } from '@pushfleet/intake';
import { topicOf } from './channel.ts';
import { dataText, type Message, ownExt } from './message.ts';

/**
 * The publication of a publish message. `data` is the payload as JSON. With another content type in `ext.pushfleet`
 * it is the text of the payload, or `{"data_base64"}` where that is not text: the form in which such payloads come out.
 *
 * `id` is not taken for the publication's id: clients count their messages, from 1 again after a page was loaded
 * anew, and two publications would be taken for one. Who wants to repeat safely says `ext.pushfleet.id`.
 */
export function submissionOf(message: Message): Submission | PushfleetError {
  try {
    const { id, type, retain, ttl, contentType = 'application/json' } = ownExt(message);
    return {
      topic: topicOf(message.channel),
      payload: payloadOf(message, contentType),
      ...{ id, type, retain, contentType },
      ...(ttl !== undefined && { ttlMs: ttl * 1_000 }),
    };
  } catch (thrown) {
    return PushfleetError.from(thrown);
  }
}

function payloadOf(message: Message, contentType: string): Uint8Array {
  const { data } = message;
  // "The data message field MUST be included in publish messages."
  if (data === undefined) throw new PushfleetError('request_invalid', 'The message has no "data".');
  if (isJsonType(contentType)) return Buffer.from(dataText(message));
  if (typeof data === 'string') return Buffer.from(data);
  const { data_base64: base64 } = (data ?? {}) as { readonly data_base64?: unknown };
  const bytes = typeof base64 === 'string' ? bytesOfBase64(base64) : undefined;
  if (bytes !== undefined) return bytes;
  throw new PushfleetError(
    'request_invalid',
    'With a content type other than JSON, "data" is a text, or {"data_base64": "…"}.',
  );
}
