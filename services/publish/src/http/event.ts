import type { IncomingMessage } from 'node:http';
import {
  decodeBinaryEvent,
  defaultType,
  type EventDraft,
  eventBatchMediaType,
  eventMediaType,
  isUtf8Type,
  mediaType,
  PushfleetError,
  quote,
} from '@pushfleet/core';
import type { Submission } from '@pushfleet/intake';
import { type HeaderDraft, readHeaders } from './draft.ts';

/** How a request carries CloudEvents: a content mode of the HTTP binding, or not at all. */
export type ContentMode = 'none' | 'binary' | 'structured' | 'batch';

/**
 * Tells content modes apart as section 3 of the HTTP binding says: by the Content-Type; what is none of
 * CloudEvents' is binary mode where `ce-specversion` says that it is an event.
 *
 * @throws PushfleetError `unsupported_media_type` or `request_invalid`
 */
export function contentMode({ headers }: Pick<IncomingMessage, 'headers'>): ContentMode {
  const contentType = headers['content-type'] ?? '';
  const type = mediaType(contentType);
  if (type.startsWith('application/cloudevents')) {
    const known = type === eventMediaType || type === eventBatchMediaType;
    if (!known || !isUtf8Type(contentType)) throw unsupported(contentType);
    return type === eventMediaType ? 'structured' : 'batch';
  }
  if (headers['ce-specversion'] !== undefined) return 'binary';
  const stray = Object.keys(headers).find((name) => name.startsWith('ce-'));
  if (stray === undefined) return 'none';
  throw new PushfleetError(
    'request_invalid',
    `The request has ${quote(stray)} and no ce-specversion; add "ce-specversion: 1.0" to publish a CloudEvent.`,
  );
}

function unsupported(contentType: string): PushfleetError {
  return new PushfleetError(
    'unsupported_media_type',
    `CloudEvents come as ${eventMediaType}, as ${eventBatchMediaType} to /v1/publish, both in UTF-8, or in binary mode with ce- headers; not as ${quote(contentType)}.`,
  );
}

/**
 * The submission of a request in binary mode, but for its payload, which is the body.
 *
 * @param topic what the URL names
 * @throws PushfleetError
 */
export function readBinaryEvent(request: IncomingMessage, topic: string | undefined): Submission {
  const event = decodeBinaryEvent(request.rawHeaders, new Uint8Array());
  return submissionOf(event, topic, readHeaders(request));
}

/**
 * An event as a submission. The headers may say more than the event does, and nothing else than it does.
 *
 * @param topic what the URL names
 * @throws PushfleetError `request_invalid`
 */
export function submissionOf(
  event: EventDraft,
  topic: string | undefined,
  headers?: HeaderDraft,
): Submission {
  if (headers?.attributes !== undefined && headers.attributes.length > 0) {
    throw new PushfleetError(
      'request_invalid',
      "Pushfleet-Attribute- headers do not go with a CloudEvent: its attributes are the event's own.",
    );
  }
  const subject = agreed('subject', event.topic, 'topic in the URL', topic);
  if (subject === undefined) {
    throw new PushfleetError(
      'request_invalid',
      'The event has no subject, which is its topic; give it one, or publish to /v1/topics/<topic>.',
    );
  }
  const seconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1_000);
  const ttl = agreed('pushfleetttl', seconds(event.ttlMs), 'Pushfleet-Ttl', seconds(headers?.ttlMs));
  return {
    topic: subject,
    id: agreed('id', event.id, 'Idempotency-Key', headers?.id),
    source: agreed('source', event.source, 'Pushfleet-Source', headers?.source),
    type: agreed('type', event.type ?? defaultType, 'Pushfleet-Type', headers?.type),
    contentType: event.contentType,
    payload: event.payload,
    attributes: event.attributes,
    retain: agreed('pushfleetretain', event.retain, 'Pushfleet-Retain', headers?.retain),
    ttlMs: ttl === undefined ? undefined : ttl * 1_000,
  };
}

function agreed<T extends string | number | boolean>(
  attribute: string,
  event: T | undefined,
  header: string,
  given: T | undefined,
): T | undefined {
  if (event === undefined || given === undefined || event === given) return event ?? given;
  throw new PushfleetError(
    'request_invalid',
    `The event's ${attribute} is ${quote(String(event))}, and the ${header} is ${quote(String(given))}; let them agree, or leave one out.`,
  );
}

/** @throws PushfleetError `request_invalid` where headers would say for a whole batch what each event says itself */
export function refuseHeaders({ headers }: Pick<IncomingMessage, 'headers'>): void {
  const name = Object.keys(headers).find(
    (name) => name.startsWith('pushfleet-') || name === 'idempotency-key',
  );
  if (name === undefined) return;
  throw new PushfleetError(
    'request_invalid',
    `${quote(name)} does not go with a batch of CloudEvents; each says for itself, also by pushfleetretain and pushfleetttl.`,
  );
}
