import { PushfleetError } from '@pushfleet/core';
import { percentDecode } from './percent.ts';

/** A request target (RFC 9112 section 3.2) in parts, still escaped. */
export interface Target {
  readonly path: string;
  readonly query: string;
}

/** Splits without normalising: empty, `.` and `..` levels may be levels of a topic. */
export function parseTarget(target: string): Target {
  // A proxy's client may send the absolute form; the authority is none of our concern.
  const local = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, '');
  const [, path = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(local) ?? [];
  return { path, query };
}

const root = '/v1/topics';

/**
 * The topic a target names: `/v1/topics/<topic>`, or `/v1/topics?topic=` for topics with `.` or `..` levels,
 * which clients and proxies take out of paths. Levels are kept as they are: `/v1/topics/a//b/` is `a//b/`.
 *
 * @throws PushfleetError `topic_invalid` or `request_invalid`
 */
export function topicOf({ path, query }: Target): string {
  const named = topicsIn(query);
  if (path === root) {
    const [topic] = named;
    if (topic === undefined || named.length > 1) {
      throw new PushfleetError('topic_invalid', `Name one topic: ${root}/<topic>, or ${root}?topic=<topic>.`);
    }
    return topic;
  }
  if (named.length > 0) {
    throw new PushfleetError('request_invalid', 'Name the topic in the path or in "topic", not in both.');
  }
  return percentDecode(path.slice(root.length + 1), 'topic_invalid', 'topic');
}

// By hand: URLSearchParams makes U+FFFD of bytes that are no UTF-8, and the publication would go to another topic.
function topicsIn(query: string): readonly string[] {
  return query
    .split('&')
    .filter((pair) => pair.startsWith('topic='))
    .map((pair) => percentDecode(pair.slice('topic='.length).replaceAll('+', ' '), 'topic_invalid', 'topic'));
}
