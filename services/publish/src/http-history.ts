import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Cursor,
  encodeCloudEvent,
  PushfleetError,
  parseCursor,
  type TopicFilter,
} from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import { leftOf } from './answer.ts';
import type { Archive } from './archive.ts';
import { checkLimit, type HistoryAsk, type HistoryPage, pageCount } from './history.ts';
import { type Query, readQuery, readTime, single } from './query.ts';
import { readFilters } from './subscribe.ts';
import { parseTarget } from './target.ts';

const batchType = 'application/cloudevents-batch+json';

/**
 * Answers `GET /v1/history`.
 *
 * @param url where it is found, for the link to the next page
 * @throws PushfleetError
 */
export async function answerHistory(
  { history }: Pick<Archive, 'history'>,
  grant: Grant,
  url: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const query = readQuery(parseTarget(request.url ?? '').query, ['topic', 'after', 'since', 'limit']);
  const ask = readAsk(grant, query);
  const page = await history.read(grant, ask, leftOf(response));
  const batch = wantsBatch(request.headers.accept);
  const body = batch ? `[${eventsOf(page)}]` : documentOf(page);
  response
    .writeHead(200, {
      'content-type': batch ? `${batchType}; charset=utf-8` : 'application/json',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
      vary: 'Accept',
      'pushfleet-cursor': page.cursor,
      'pushfleet-more': String(page.more),
      ...(page.gap && { 'pushfleet-gap': `${page.gap.from} ${page.gap.to}` }),
      ...(page.more && { link: `<${nextOf(url, ask, page.cursor)}>; rel="next"` }),
    })
    .end(body);
}

function readAsk(grant: Grant, query: Query): HistoryAsk {
  const after = single(query, 'after');
  const since = single(query, 'since');
  if (after !== undefined && since !== undefined) {
    throw new PushfleetError('request_invalid', 'Give "after" or "since", not both.');
  }
  if (after !== undefined) parseCursor(after);
  return {
    filters: readFilters(grant, query.get('topic') ?? []),
    after: after as Cursor | undefined,
    since: since === undefined ? undefined : readTime(since, 'since'),
    limit: readLimit(single(query, 'limit')),
  };
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return pageCount.usual;
  return checkLimit(/^\d{1,9}$/.test(text) ? Number(text) : Number.NaN);
}

const eventsOf = ({ publications }: HistoryPage): string =>
  publications.map(({ publication, cursor }) => encodeCloudEvent(publication, cursor)).join(',');

/** The events go in as they are: parsed and written again, a long number in one would lose digits. */
function documentOf(page: HistoryPage): string {
  const { cursor, more, gap } = page;
  const rest = JSON.stringify({ cursor, more, ...(gap && { gap }) });
  return `{"publications":[${eventsOf(page)}],${rest.slice(1)}`;
}

function nextOf(url: string, { filters, limit }: HistoryAsk, cursor: Cursor): string {
  const topics = filters.map((filter: TopicFilter) => `topic=${encodeURIComponent(filter)}`);
  return `${url}?${[...topics, `after=${cursor}`, `limit=${limit}`].join('&')}`;
}

/** Whether a client names the batch format, and not at a lower quality than JSON (RFC 9110 section 12.5.1). */
function wantsBatch(accept = ''): boolean {
  const quality = (type: string): number => {
    for (const range of accept.toLowerCase().split(',')) {
      const [name, ...parameters] = range.split(';').map((part) => part.trim());
      if (name !== type) continue;
      const given = parameters.find((parameter) => parameter.startsWith('q='));
      return given === undefined ? 1 : Number(given.slice(2)) || 0;
    }
    return 0;
  };
  const batch = quality(batchType);
  return batch > 0 && batch >= quality('application/json');
}
