import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Cursor,
  encodeCloudEvent,
  eventBatchMediaType,
  parseCursor,
  type TopicFilter,
} from '@pushfleet/core';
import type { Budget } from '@pushfleet/intake';
import { type Grant, parseTarget } from '@pushfleet/runtime';
import type { Archive } from '../archive/archive.ts';
import {
  checkHistory,
  checkLimit,
  type HistoryAsk,
  type HistoryPage,
  pageCount,
} from '../archive/history.ts';
import { readFilters } from '../filters.ts';
import { leftOf } from './answer.ts';
import { type Query, readQuery, readTime, single } from './query.ts';

export interface HistoryAnswerOptions {
  readonly archive: Pick<Archive, 'history'>;
  /** What all publications on their way out share: who reads slowly must not fill the memory of this process. */
  readonly outgoing: Budget;
}

/**
 * Answers `GET /v1/history`.
 *
 * @param url where it is found, for the link to the next page
 * @throws PushfleetError
 */
export async function answerHistory(
  { archive, outgoing }: HistoryAnswerOptions,
  grant: Grant,
  url: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const query = readQuery(parseTarget(request.url ?? '').query, ['topic', 'after', 'since', 'limit']);
  const ask = readAsk(grant, query);
  const left = leftOf(response);
  const page = await archive.history.read(grant, ask, left);
  const batch = wantsBatch(request.headers.accept);
  const body = batch ? `[${eventsOf(page)}]` : documentOf(page);
  // Who left closed the response already: nothing would give back what it holds.
  left.throwIfAborted();
  const bytes = Buffer.byteLength(body);
  outgoing.hold(bytes);
  response
    .once('close', () => outgoing.release(bytes))
    .writeHead(200, {
      'content-type': batch ? `${eventBatchMediaType}; charset=utf-8` : 'application/json',
      'content-length': bytes,
      'cache-control': 'no-store',
      vary: 'Accept',
      'pushfleet-cursor': page.cursor,
      'pushfleet-more': String(page.more),
      ...(page.gap && { 'pushfleet-gap': `${page.gap.from} ${page.gap.to}` }),
      ...(page.more && linkTo(nextOf(url, ask, page.cursor))),
    })
    .end(body);
}

function readAsk(grant: Grant, query: Query): HistoryAsk {
  const after = single(query, 'after');
  const since = single(query, 'since');
  if (after !== undefined) parseCursor(after);
  return checkHistory({
    filters: readFilters(grant, query.get('topic') ?? []),
    after: after as Cursor | undefined,
    since: since === undefined ? undefined : readTime(since, 'since'),
    limit: readLimit(single(query, 'limit')),
  });
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

/** Clients give up on headers of more than some kilobytes; `after` with the cursor says the same. */
const longestLink = 4_096;

const linkTo = (next: string): { readonly link?: string } =>
  next.length > longestLink ? {} : { link: `<${next}>; rel="next"` };

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
  const batch = quality(eventBatchMediaType);
  return batch > 0 && batch >= quality('application/json');
}
