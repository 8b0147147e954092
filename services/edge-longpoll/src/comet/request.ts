import type { Cursor } from '@pushfleet/core';
import {
  type Asking,
  firstOf,
  type Parameters,
  parseAfter,
  parseFilters,
  requireKnown,
  valuesOf,
  yes,
} from '@pushfleet/edge';

/** What a Comet response is asked for. */
export interface CometAsk extends Asking {
  readonly after: Cursor | undefined;
  readonly retained: boolean;
}

/** @throws PushfleetError `request_invalid`, `filter_invalid`, `cursor_invalid` or `too_many_filters` */
export function parseComet(sources: readonly Parameters[], mostFilters: number): CometAsk {
  requireKnown(sources, ['topic', 'after', 'retained', 'ticket']);
  return {
    filters: parseFilters(valuesOf(sources, 'topic'), mostFilters),
    after: parseAfter([firstOf(sources, 'after')]),
    retained: yes('retained', firstOf(sources, 'retained')),
    ticket: firstOf(sources, 'ticket'),
  };
}
