import { type ErrorCode, PushfleetError, percentDecode } from '@pushfleet/core';

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
export function topicOf(target: Target): string {
  const topic = namedTopic(target);
  if (topic !== undefined) return topic;
  throw new PushfleetError('topic_invalid', nameOne);
}

/** As `topicOf`; undefined where the target leaves it open, as `/v1/topics` does. @throws as `topicOf` */
export function namedTopic({ path, query }: Target): string | undefined {
  const named = topicsIn(query);
  if (path === root) {
    if (named.length > 1) throw new PushfleetError('topic_invalid', nameOne);
    return named[0];
  }
  if (named.length > 0) {
    throw new PushfleetError('request_invalid', 'Name the topic in the path or in "topic", not in both.');
  }
  return percentDecode(path.slice(root.length + 1), 'topic_invalid', 'topic');
}

const nameOne = `Name one topic: ${root}/<topic>, or ${root}?topic=<topic>.`;

// By hand: URLSearchParams makes U+FFFD of bytes that are no UTF-8, and the publication would go to another topic.
function topicsIn(query: string): readonly string[] {
  return query
    .split('&')
    .filter((pair) => pair.startsWith('topic='))
    .map((pair) => decodeParameter(pair.slice('topic='.length), 'topic_invalid', 'topic'));
}

/**
 * A name or value of a query. Forms write a space as `+`, while people write the wildcard `+` into a URL as it is; since
 * a wildcard is a whole level, a `+` that is a whole level stays and any other is a space.
 *
 * @throws PushfleetError `code` for a broken escape, and for bytes that are not UTF-8
 */
export function decodeParameter(text: string, code: ErrorCode, what: string): string {
  const levels = text.split(/(\/|%2f)/i);
  const spaced = levels.map((level) => (level === '+' ? level : level.replaceAll('+', ' '))).join('');
  return percentDecode(spaced, code, what);
}
