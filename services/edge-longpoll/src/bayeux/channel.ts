import {
  PushfleetError,
  parseTopic,
  parseTopicFilter,
  quote,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';

// Channels of Bayeux 1.0, "Channels" and "Channel Globbing", and the topics they stand for: channel `/a/b` is topic
// `a/b`. The specification's grammar knows few characters; a channel here may have whatever a topic may.

/** What a channel of a request is for. */
export type ChannelKind = 'meta' | 'service' | 'plain';

/** "Channel names commencing with /meta/ are reserved", those with /service/ "have a special meaning". */
export function kindOf(channel: string): ChannelKind {
  if (channel.startsWith('/meta/')) return 'meta';
  return channel.startsWith('/service/') ? 'service' : 'plain';
}

/**
 * The topic of a channel that is published to.
 *
 * @throws PushfleetError `topic_invalid`
 */
export function topicOf(channel: string): Topic {
  const name = nameOf(channel, 'topic_invalid');
  if (!isNameable(name)) {
    throw new PushfleetError(
      'topic_invalid',
      `${quote(channel)} names a set of channels, or one of the protocol's own; publish to one channel such as "/orders/7".`,
    );
  }
  return parseTopic(name);
}

/**
 * The topic filter of a channel or pattern that is subscribed to. Globbing: "/a/*" is `a/+`. "/a/**" is all channels
 * below "/a" and not "/a" itself; `a/#` would match `a`, too, so it is `a/+/#`: one level, and whatever is below it.
 *
 * @throws PushfleetError `filter_invalid`; `forbidden` for /meta/ channels, which no client may hear
 */
export function filterOf(pattern: string): TopicFilter {
  if (kindOf(pattern) === 'meta') {
    throw new PushfleetError('forbidden', `${quote(pattern)} belongs to the protocol; nobody may subscribe.`);
  }
  const name = nameOf(pattern, 'filter_invalid');
  const levels = name.split('/');
  const last = levels.pop();
  if (/[+#]/.test(name)) throw notAFilter(pattern, '"+" and "#" are no wildcards of channels');
  // As a topic it would be waited for in vain.
  if (levels.some((level) => level === '*' || level === '**')) {
    throw notAFilter(pattern, '"*" and "**" stand for what a channel ends with');
  }
  if (last !== '*' && last !== '**') return parseTopicFilter(name);
  if (last === '**' && levels.length === 0) return '#' as TopicFilter;
  return parseTopicFilter([...levels, last === '*' ? '+' : '+/#'].join('/'));
}

/**
 * The channel of a topic; undefined where a client could not tell it from the protocol's own: a topic `meta/connect`
 * would let its publisher answer in the server's name, and `a/*` would be taken for a pattern.
 */
export function channelOf(topic: Topic): string | undefined {
  return isNameable(topic) ? `/${topic}` : undefined;
}

const isNameable = (name: string): boolean => !/^(?:meta|service)\/|(?:^|\/)\*\*?$/.test(name);

function nameOf(channel: string, code: 'topic_invalid' | 'filter_invalid'): string {
  if (channel.startsWith('/')) return channel.slice(1);
  throw new PushfleetError(code, `The channel ${quote(channel)} does not begin with "/".`);
}

function notAFilter(pattern: string, why: string): PushfleetError {
  return new PushfleetError('filter_invalid', `${quote(pattern)} is no channel pattern: ${why}.`);
}
