import type { IncomingMessage } from 'node:http';
import type { Cursor } from '@pushfleet/core';
import {
  type Asking,
  firstOf,
  type Parameters,
  parseAfter,
  parseBody,
  parseFilters,
  parseForm,
  readBody,
  requireKnown,
  splitTarget,
  valuesOf,
  yes,
} from '@pushfleet/edge';

/** What a request of /poll or /comet asks for. */
export interface Ask extends Asking {
  readonly after: Cursor | undefined;
  readonly retained: boolean;
}

/**
 * The parameters of a request's URL, and behind them those of the body of a POST, read to its end.
 *
 * @throws PushfleetError as `parseForm`, `readBody` and `parseBody`
 */
export async function readParameters(
  request: IncomingMessage,
  mostBytes: number,
): Promise<readonly Parameters[]> {
  const query = parseForm(splitTarget(request.url as string).query);
  if (request.method === 'GET') return [query];
  return [query, parseBody(request.headers['content-type'], await readBody(request, mostBytes))];
}

/**
 * @param o.known the legal parameters
 * @param o.after a header's cursor, which stands before the parameter's
 * @throws PushfleetError `request_invalid`, `filter_invalid`, `cursor_invalid` or `too_many_filters`
 */
export function parseAsk(
  sources: readonly Parameters[],
  o: { known: readonly string[]; filters: number; after?: Cursor | undefined },
): Ask {
  requireKnown(sources, o.known);
  return {
    filters: parseFilters(valuesOf(sources, 'topic'), o.filters),
    after: o.after ?? parseAfter([firstOf(sources, 'after')]),
    retained: yes('retained', firstOf(sources, 'retained')),
    ticket: firstOf(sources, 'ticket'),
  };
}
