import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Cursor, defaultType, parseCursor, parseTopicFilter } from '@pushfleet/core';
import { type Grant, parseTarget } from '@pushfleet/runtime';
import type { Archive } from '../archive/archive.ts';
import { checkAsk, type ExplainAsk, type Explained, type Search } from '../archive/explain.ts';
import { leftOf, sendJson } from './answer.ts';
import { readQuery, readTime, single } from './query.ts';

/** Answers `GET /v1/explain`. @throws PushfleetError */
export async function answerExplain(
  { explainer }: Pick<Archive, 'explainer'>,
  grant: Grant,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const ask = readAsk(parseTarget(request.url ?? '').query);
  const { search, publications } = await explainer.explain(grant, ask, leftOf(response));
  const body = { id: ask.id, search: searchJson(search), publications: publications.map(explainedJson) };
  sendJson(response, 200, body, { 'cache-control': 'no-store' });
}

function readAsk(text: string): ExplainAsk {
  const query = readQuery(text, ['id', 'topic', 'since', 'cursor']);
  const [since, cursor] = [single(query, 'since'), single(query, 'cursor')];
  if (cursor !== undefined) parseCursor(cursor);
  return checkAsk({
    id: single(query, 'id') ?? '',
    filter: parseTopicFilter(single(query, 'topic') ?? '#'),
    since: since === undefined ? undefined : readTime(since, 'since'),
    at: cursor as Cursor | undefined,
  });
}

const iso = (time: number): string => new Date(time).toISOString();

function searchJson({ scanned, from, to, complete }: Search): object {
  return { scanned, from: iso(from), to: iso(to), complete };
}

function explainedJson({ publication, cursor, retained, receivers }: Explained): object {
  const { topic, shard, sequence, time, expiresAt, source, type, contentType, payload } = publication;
  return {
    ...{ topic, shard, sequence, cursor, retained, source, contentType },
    type: type ?? defaultType,
    time: iso(time),
    expires: expiresAt === undefined ? null : iso(expiresAt),
    bytes: payload.length,
    receivers,
  };
}
