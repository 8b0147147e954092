import { limits, PushfleetError, parseTopicFilter, type Topic, type TopicFilter } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';

/** The filters of a request, each once. @throws PushfleetError `filter_invalid`, `too_many_filters` or `forbidden` */
export function readFilters(grant: Grant, texts: readonly string[]): readonly TopicFilter[] {
  const distinct = [...new Set(texts)];
  if (distinct.length === 0) {
    throw new PushfleetError('filter_invalid', 'Name at least one topic filter, such as "orders/#".');
  }
  if (distinct.length > limits.feedFilters) {
    throw new PushfleetError(
      'too_many_filters',
      `At most ${limits.feedFilters} filters go together; these are ${distinct.length}. Split them over several requests.`,
      { detail: { limit: limits.feedFilters } },
    );
  }
  const filters = distinct.map(parseTopicFilter);
  for (const filter of filters) grant.require('subscribe', filter);
  return filters;
}

/** Every topic is a filter, which matches it alone. */
export const asFilter = (topic: Topic): TopicFilter => topic as string as TopicFilter;
