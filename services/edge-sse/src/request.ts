import type { IncomingMessage } from 'node:http';
import { type Cursor, limits, type TopicFilter } from '@pushfleet/core';
import {
  firstOf,
  oneOf,
  type Parameters,
  parseAfter,
  parseFilters,
  requireKnown,
  valuesOf,
  yes,
} from '@pushfleet/edge';
import type { Format } from './codec.ts';

/** What a client asks for. */
export interface Ask {
  readonly filters: readonly TopicFilter[];
  readonly after: Cursor | undefined;
  readonly retained: boolean;
  readonly format: Format;
  readonly ticket: string | undefined;
}

const known = ['topic', 'last_event_id', 'lastEventId', 'retained', 'format', 'ticket'];

/**
 * Checks the parameters of one request; those of a body stand behind those of its URL.
 *
 * @throws PushfleetError `request_invalid`, `filter_invalid`, `cursor_invalid` or `too_many_filters`
 */
export function parseAsk(
  headers: IncomingMessage['headers'],
  sources: readonly Parameters[],
  mostFilters: number = limits.feedFilters,
): Ask {
  requireKnown(sources, known);
  const first = (name: string): string | undefined => firstOf(sources, name);
  return {
    filters: parseFilters(valuesOf(sources, 'topic'), mostFilters),
    after: parseAfter([headers['last-event-id'], first('last_event_id'), first('lastEventId')]),
    retained: yes('retained', first('retained')),
    format: oneOf('format', first('format') ?? 'payload', ['payload', 'cloudevents']),
    ticket: first('ticket'),
  };
}
