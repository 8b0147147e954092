import {
  type Backbone,
  type Cursor,
  formatCursor,
  type Namespace,
  type Publication,
  parseCursor,
  type Topic,
} from '@pushfleet/core';
import { type Fleet, feedsEverywhere, type Grant, type Policies, type TopicPolicy } from '@pushfleet/runtime';
import { asFilter } from '../filters.ts';

export interface TopicViewOptions {
  readonly backbone: Backbone;
  readonly fleet: Pick<Fleet, 'ask'>;
  readonly policies: Pick<Policies, 'of'>;
}

/** A topic's retained publication. */
export interface Retained {
  readonly publication: Publication;
  /** The place right behind it; undefined where the log has outlived it. */
  readonly cursor: Cursor | undefined;
}

/** What is known of a topic at this moment. */
export interface TopicView {
  readonly policy: TopicPolicy;
  /** Live feeds that match it, by protocol. */
  readonly feeds: Readonly<Record<string, number>>;
  readonly retained: Retained | undefined;
}

/** Looks at topics for those who may. */
export class TopicViews {
  readonly #options: TopicViewOptions;

  constructor(options: TopicViewOptions) {
    this.#options = options;
  }

  /** Whether the token allows to look: it grants managing the topic, or subscribing to it. */
  may(grant: Grant, topic: Topic): boolean {
    const filter = asFilter(topic);
    return grant.mayManage(filter) || grant.maySubscribe(filter);
  }

  /** @throws PushfleetError `unavailable` when the log is out of reach */
  async of({ namespace }: Grant, topic: Topic, signal: AbortSignal): Promise<TopicView> {
    const { fleet, policies } = this.#options;
    const [feeds, retained] = await Promise.all([
      feedsEverywhere(fleet, namespace, topic),
      this.#retained(namespace, topic, signal),
    ]);
    return { policy: policies.of(namespace, topic), feeds, retained };
  }

  async #retained(namespace: Namespace, topic: Topic, signal: AbortSignal): Promise<TopicView['retained']> {
    const bus = this.#options.backbone.bus(namespace);
    for await (const [copy] of bus.retained(asFilter(topic), signal)) {
      if (copy === undefined) continue;
      const head = await bus.head();
      // The copy's time is that of the copy, and its place may be one of a log that is no more.
      const stored = await bus.find(topic, behind(copy, head));
      if (stored?.id !== copy.id) return { publication: copy, cursor: undefined };
      return { publication: stored, cursor: behind(stored, head) };
    }
    return undefined;
  }
}

/** The place right behind a publication, in its own shard alone; `head` is any cursor of its log. */
export function behind({ shard, sequence, time }: Publication, head: Cursor): Cursor {
  const { generation, positions } = parseCursor(head);
  return formatCursor({
    generation,
    positions: positions.map((_, index) => (index === shard ? sequence : undefined)),
    time,
  });
}
