import {
  isReserved,
  limits,
  type Namespace,
  type PresenceStatus,
  PushfleetError,
  parseNamespace,
  parseTopic,
  quote,
  type Topic,
} from '@pushfleet/core';
import {
  type PresenceEntry,
  type PresenceKey,
  PresenceStatus as Status,
} from '@pushfleet/proto/pushfleet/registry/v1/presence';
import { presenceLimits } from './limits.ts';
import type { Body } from './record.ts';

/** Names a member. */
export interface MemberKey {
  readonly namespace: Namespace;
  readonly topic: Topic;
  readonly subject: string;
  readonly client: string;
}

/** A member as it is to be. */
export interface MemberEntry extends MemberKey, Body {
  /** 0: it hangs on the lease alone. */
  readonly ttlMs: number;
  /** Unix ms; 0: now. */
  readonly since: number;
}

const statuses: Readonly<Partial<Record<Status, PresenceStatus>>> = {
  [Status.PRESENCE_STATUS_ONLINE]: 'online',
  [Status.PRESENCE_STATUS_AWAY]: 'away',
  [Status.PRESENCE_STATUS_BUSY]: 'busy',
};

const invalid = (message: string) => new PushfleetError('request_invalid', message);

/** @throws PushfleetError `request_invalid`, `topic_invalid`, `forbidden` for the namespace */
export function readKey(key: PresenceKey | undefined): MemberKey {
  if (key === undefined) throw invalid('An entry needs a key.');
  const { subject, clientId: client } = key;
  requireLength('subject', subject, presenceLimits.subjectBytes);
  requireLength('client id', client, limits.presenceClientBytes);
  return { namespace: parseNamespace(key.namespace), topic: readTopic(key.topic), subject, client };
}

/** @throws PushfleetError `topic_invalid` */
export function readTopic(text: string): Topic {
  const topic = parseTopic(text);
  if (isReserved(topic)) {
    throw new PushfleetError(
      'topic_invalid',
      `${quote(topic)} begins with "$": it is a topic of the fleet's own, and nobody is present on it.`,
    );
  }
  const bytes = Buffer.byteLength(topic);
  if (bytes <= presenceLimits.topicBytes) return topic;
  throw new PushfleetError(
    'topic_invalid',
    `A topic that somebody is present on has at most ${presenceLimits.topicBytes} bytes; this one has ${bytes}.`,
    { detail: { limit: presenceLimits.topicBytes } },
  );
}

/** @throws PushfleetError as `readKey`; `payload_too_large` for the state */
export function readEntry(entry: PresenceEntry): MemberEntry {
  const { state, stateContentType, ttlSeconds, enteredAt } = entry;
  const status = statuses[entry.status];
  if (status === undefined) throw invalid('A member is online, away or busy; leaving has a call of its own.');
  if (state.length > limits.presenceStateBytes) {
    throw new PushfleetError(
      'payload_too_large',
      `The state of a member has at most ${limits.presenceStateBytes} bytes; this one has ${state.length}.`,
      { detail: { limit: limits.presenceStateBytes } },
    );
  }
  if (Buffer.byteLength(stateContentType) > limits.contentTypeBytes)
    throw invalid(`The content type of a state has at most ${limits.contentTypeBytes} bytes.`);
  if (ttlSeconds > presenceLimits.ttlSeconds)
    throw invalid(
      `A time to live is at most ${presenceLimits.ttlSeconds} seconds; this one is ${ttlSeconds}.`,
    );
  return {
    ...readKey(entry.key),
    ...{ status, state, stateContentType },
    ttlMs: ttlSeconds * 1_000,
    since: enteredAt?.getTime() ?? 0,
  };
}

/** @throws PushfleetError `request_invalid` */
export function requireEntries(count: number): void {
  if (count <= presenceLimits.entries) return;
  throw invalid(`A call has at most ${presenceLimits.entries} entries; this one has ${count}.`);
}

/** @throws PushfleetError `request_invalid` */
export function readLease(instanceId: string): string {
  if (/^[\w.-]{16,64}$/.test(instanceId)) return instanceId;
  throw invalid('An instance id is 16 to 64 letters, digits, "-", "_" and ".", chosen at random.');
}

function requireLength(name: string, text: string, most: number): void {
  const bytes = Buffer.byteLength(text);
  if (bytes >= 1 && bytes <= most) return;
  throw invalid(`The ${name} of a member has 1 to ${most} bytes; this one has ${bytes}.`);
}
