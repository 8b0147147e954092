import { type Namespace, PushfleetError, parseTopic, type Topic } from '@pushfleet/core';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { type Policies, parseTarget, topicOf } from '@pushfleet/runtime';
import { webSubOf } from '../subscriber.ts';

/** Where a topic URL leads. */
export interface Place {
  readonly namespace: Namespace;
  readonly topic: Topic;
}

export interface TopicUrlsOptions {
  /** The fleet's public one. */
  readonly origin: string;
  readonly policies: Pick<Policies, 'of' | 'publicIn' | 'feedAt'>;
}

/**
 * The topic URLs that strangers may subscribe to: those of the fleet's own topics, as discovery gives them, and those of
 * declared feeds. Either way the topic is public by its policy.
 */
export class TopicUrls {
  readonly #origin: string;
  readonly #policies: TopicUrlsOptions['policies'];

  constructor({ origin, policies }: TopicUrlsOptions) {
    this.#origin = origin;
    this.#policies = policies;
  }

  /** @throws PushfleetError `request_invalid`, `topic_invalid`; `forbidden` where it is not public */
  find(url: string): Place {
    const feed = this.#policies.feedAt(url);
    const place = feed === undefined ? this.#own(url) : this.#inPublic(feed);
    if (place !== undefined) return place;
    throw new PushfleetError('forbidden', 'hub.topic is no topic that can be subscribed to here.');
  }

  /** Whether the topic URL of a subscription still leads where it did, in public. */
  holds(subscription: Subscription): boolean {
    const { namespace, filter } = subscription;
    const { topicUrl } = webSubOf(subscription);
    const topic = parseTopic(filter);
    const feed = this.#policies.feedAt(topicUrl);
    if (feed === undefined) return namesTopic(topicUrl) && this.#policies.publicIn(topic) === namespace;
    return feed.namespace === namespace && feed.topic === topic && this.#inPublic(feed) !== undefined;
  }

  #inPublic(place: Place): Place | undefined {
    return this.#policies.of(place.namespace, place.topic).public ? place : undefined;
  }

  #own(url: string): Place | undefined {
    if (URL.parse(url)?.origin !== this.#origin || !namesTopic(url)) {
      throw new PushfleetError(
        'request_invalid',
        `hub.topic is the URL of a feed that this hub fetches, or of a topic of this fleet as its Link header with rel="self" says: ${this.#origin}/v1/topics?topic=<topic>.`,
      );
    }
    const topic = parseTopic(topicOf(parseTarget(url)));
    const namespace = this.#policies.publicIn(topic);
    return namespace && { namespace, topic };
  }
}

/** `<origin>/v1/topics?topic=<topic>` or `<origin>/v1/topics/<topic>`, whichever origin. */
function namesTopic(url: string): boolean {
  const { path, query } = parseTarget(url);
  if (url.includes('#')) return false;
  return path === '/v1/topics'
    ? /^topic=[^&#]*$/.test(query)
    : query === '' && path.startsWith('/v1/topics/');
}
