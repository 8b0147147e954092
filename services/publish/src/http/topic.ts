import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Cursor, parseCursor, parseTopic, type Topic } from '@pushfleet/core';
import { type Grant, parseTarget, type TopicPolicy, topicOf } from '@pushfleet/runtime';
import type { Archive } from '../archive/archive.ts';
import type { TopicView } from '../archive/topic-view.ts';
import type { Discovery } from '../discovery.ts';
import { leftOf, sendJson } from './answer.ts';
import { readQuery, single } from './query.ts';

/**
 * Answers `DELETE /v1/topics/<topic>`, with `?cursor=` for one publication.
 *
 * @throws PushfleetError
 */
export async function answerDelete(
  { deleter }: Pick<Archive, 'deleter'>,
  grant: Grant,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const target = parseTarget(request.url ?? '');
  const topic = parseTopic(topicOf(target));
  const query = readQuery(target.query, ['topic', 'cursor']);
  const cursor = single(query, 'cursor');
  // A script whose variable was empty did not mean the whole topic.
  if (query.has('cursor')) parseCursor(cursor ?? '');
  const { count } = await deleter.delete(grant, topic, cursor as Cursor | undefined);
  sendJson(response, 200, { deleted: count }, { 'cache-control': 'no-store' });
}

/**
 * Answers `GET /v1/topics/<topic>`: where the topic is received, and to whom the token allows it what is known of it.
 *
 * @param grant of the token shown, if one was
 * @throws PushfleetError
 */
export async function answerTopic(
  { topics }: Pick<Archive, 'topics'>,
  discovery: Discovery,
  grant: Grant | undefined,
  topic: Topic,
  response: ServerResponse,
): Promise<void> {
  const { link, body } = discovery.topic(topic, grant);
  const headers = { link, vary: 'Authorization' };
  if (grant === undefined || !topics.may(grant, topic)) sendJson(response, 200, body, headers);
  else {
    const view = await topics.of(grant, topic, leftOf(response));
    sendJson(response, 200, { ...body, ...viewJson(view) }, { ...headers, 'cache-control': 'no-store' });
  }
}

function viewJson({ policy, feeds, retained }: TopicView): object {
  return {
    policy: policyJson(policy),
    feeds,
    retained:
      retained === undefined
        ? null
        : {
            id: retained.publication.id,
            time: new Date(retained.publication.time).toISOString(),
            cursor: retained.cursor ?? null,
          },
  };
}

/** In the words and units of the file of policies. */
function policyJson({ filter, retentionMs, maxBytes, rate, history, presence }: TopicPolicy): object {
  const retention = retentionMs === undefined ? undefined : retentionMs / 1_000;
  return { filter, retention, maxBytes, rate, history, presence };
}
