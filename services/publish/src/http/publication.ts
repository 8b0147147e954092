import type { ServerResponse } from 'node:http';
import {
  type Backbone,
  type Bus,
  binaryHeaders,
  type Cursor,
  encodeCloudEvent,
  eventMediaType,
  fitsHeaders,
  mediaType,
  needsStructuredMode,
  type Publication,
  PushfleetError,
  parseCursor,
  quote,
  type Topic,
} from '@pushfleet/core';
import type { Budget } from '@pushfleet/intake';
import type { Grant } from '@pushfleet/runtime';
import type { Request } from 'express';
import type { Archive } from '../archive/archive.ts';
import type { Placed } from '../archive/history.ts';
import { asFilter } from '../filters.ts';
import { leftOf } from './answer.ts';
import { type Query, single } from './query.ts';

/** The parameters that ask for a publication of the topic, rather than about the topic. */
export const publicationParameters = ['cursor', 'retained'] as const;

export interface PublicationOptions {
  readonly backbone: Backbone;
  readonly archive: Pick<Archive, 'history'>;
  /** What all publications on their way out share: who reads slowly must not fill the memory of this process. */
  readonly outgoing: Budget;
}

/**
 * Answers `GET /v1/topics/<topic>?cursor=` and `?retained=true` with one stored publication, as a CloudEvent in
 * binary content mode, or in structured mode where the caller prefers that or the headers would be too long.
 *
 * @throws PushfleetError `forbidden`, `not_found`, `history_off`, `request_invalid`, `cursor_invalid` or `unavailable`
 */
export async function answerPublication(
  { backbone, archive, outgoing }: PublicationOptions,
  grant: Grant,
  topic: Topic,
  query: Query,
  request: Request,
  response: ServerResponse,
): Promise<void> {
  grant.require('subscribe', topic);
  const bus = backbone.bus(grant.namespace);
  if (query.has('cursor') && query.has('retained')) {
    throw new PushfleetError('request_invalid', 'Give "cursor" or "retained", not both.');
  }
  if (query.has('retained')) {
    const value = single(query, 'retained') ?? '';
    if (value !== 'true') {
      throw new PushfleetError('request_invalid', `"retained" is "true", not ${quote(value)}.`);
    }
    send(request, response, await retainedOf(bus, topic, leftOf(response)), outgoing);
  } else {
    archive.history.requireOn(grant.namespace, topic);
    const found = await publicationAt(bus, topic, (single(query, 'cursor') ?? '') as Cursor);
    send(request, response, found, outgoing);
  }
}

async function publicationAt(bus: Bus, topic: Topic, cursor: Cursor): Promise<Placed> {
  parseCursor(cursor);
  const publication = await bus.find(topic, cursor);
  if (publication !== undefined) return { publication, cursor };
  throw new PushfleetError(
    'not_found',
    `No publication of ${quote(topic)} is stored before that cursor: it expired or was deleted, or the cursor came with another.`,
  );
}

/** The cursor is where a live subscription goes on: the place of the log before the read. */
async function retainedOf(bus: Bus, topic: Topic, left: AbortSignal): Promise<Placed> {
  const cursor = await bus.head();
  for await (const publications of bus.retained(asFilter(topic), left)) {
    for (const publication of publications) return { publication, cursor };
  }
  left.throwIfAborted();
  throw new PushfleetError('not_found', `${quote(topic)} has no retained publication.`);
}

function send(
  request: Request,
  response: ServerResponse,
  { publication, cursor }: Placed,
  outgoing: Budget,
): void {
  if (response.destroyed) return;
  const binary = binaryHeaders(publication, cursor);
  const structured =
    needsStructuredMode(publication) || !fitsHeaders(binary) || prefersStructured(request, publication);
  const body = structured ? Buffer.from(encodeCloudEvent(publication, cursor)) : publication.payload;
  const headers = structured ? { 'content-type': `${eventMediaType}; charset=utf-8` } : binary;
  outgoing.hold(body.length);
  response
    .once('close', () => outgoing.release(body.length))
    .writeHead(200, {
      ...headers,
      'content-length': body.length,
      'pushfleet-cursor': cursor,
      vary: 'Accept',
      'cache-control': 'no-store',
      // What publishers wrote is served from the fleet's origin: a browser must not run it as the fleet's.
      'x-content-type-options': 'nosniff',
      'content-security-policy': 'sandbox',
    })
    .end(body);
}

/** RFC 9110 section 12.5.1. What accepts neither gets the payload: more use than a refusal. */
function prefersStructured(request: Request, { contentType }: Publication): boolean {
  return request.accepts([mediaType(contentType), eventMediaType]) === eventMediaType;
}

/** Whether the query asks for a publication. */
export const asksForPublication = (query: Query): boolean =>
  publicationParameters.some((name) => query.has(name));
