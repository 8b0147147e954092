import { PushfleetError, parseTopic, type Topic } from '@pushfleet/core';
import { parseTarget, topicOf } from '@pushfleet/runtime';

/**
 * The topic that a topic URL of the fleet names: as discovery gives it, `<origin>/v1/topics?topic=<topic>`, or
 * `<origin>/v1/topics/<topic>`.
 *
 * @param origin the fleet's public one
 * @throws PushfleetError `request_invalid`, `topic_invalid`
 */
export function topicOfUrl(text: string, origin: string): Topic {
  const { path, query } = parseTarget(text);
  const named =
    path === '/v1/topics' ? /^topic=[^&#]*$/.test(query) : query === '' && path.startsWith('/v1/topics/');
  if (URL.parse(text)?.origin !== origin || text.includes('#') || !named) {
    throw new PushfleetError(
      'request_invalid',
      `hub.topic is the URL of a topic of this fleet, as its Link header with rel="self" says: ${origin}/v1/topics?topic=<topic>.`,
    );
  }
  return parseTopic(topicOf({ path, query }));
}
