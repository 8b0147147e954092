import { isReserved, limits, PushfleetError, presencePrefix, quote, type Topic } from '@pushfleet/core';
import type { Grant, PresenceEntry, PresenceKey } from '@pushfleet/runtime';
import { invalid } from './message-fields.ts';

const bytesMost = 1_024;
const ttlMostMs = 86_400_000;

// The registry checks the same again, and refuses all that comes in one call with what it does not like.

/** @throws PushfleetError `topic_invalid` */
export function requireTopic(topic: Topic): void {
  if (isReserved(topic)) {
    throw new PushfleetError(
      'topic_invalid',
      `${quote(topic)} begins with "$": it is a topic of the fleet's own, and nobody is present on it.`,
    );
  }
  const most = limits.topicBytes - presencePrefix.length;
  if (Buffer.byteLength(topic) <= most) return;
  throw new PushfleetError(
    'topic_invalid',
    `A topic that somebody is present on has at most ${most} bytes.`,
    {
      detail: { limit: most },
    },
  );
}

/** @throws PushfleetError `request_invalid` */
export function keyOf({ namespace, subject }: Grant, topic: Topic, client: string): PresenceKey {
  for (const [name, text] of [
    ['subject', subject],
    ['client', client],
  ] as const) {
    const bytes = Buffer.byteLength(text);
    if (bytes < 1 || bytes > bytesMost)
      throw invalid(`The ${name} of a member has 1 to ${bytesMost} bytes; this one has ${bytes}.`);
  }
  return { namespace, topic, subject, client };
}

/** @throws PushfleetError `payload_too_large`, `request_invalid` */
export function checked(entry: PresenceEntry): PresenceEntry {
  const { state, stateContentType, ttlMs } = entry;
  const most = limits.presenceStateBytes;
  if (state.length > most) {
    throw new PushfleetError(
      'payload_too_large',
      `The state of a member has at most ${most} bytes; this one has ${state.length}.`,
      { detail: { limit: most } },
    );
  }
  if (Buffer.byteLength(stateContentType) > limits.contentTypeBytes)
    throw invalid(`The content type of a state has at most ${limits.contentTypeBytes} bytes.`);
  if (ttlMs === 0 || (ttlMs >= 1_000 && ttlMs <= ttlMostMs)) return entry;
  throw invalid(`A time to live is 1 second to a day; this one is ${ttlMs} ms.`);
}

/** Of an update. @param client that was looked up */
export const notPresent = (topic: Topic, client: string): PushfleetError =>
  new PushfleetError(
    'not_found',
    `This connection is not present on ${quote(topic)} as client ${quote(client)}; enter first, and give the same client as in enter.`,
  );
