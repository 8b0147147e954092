import {
  type Backbone,
  type Item,
  matches,
  type Namespace,
  type Publication,
  PushfleetError,
  presencePrefix,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import type { PresenceChange } from '@pushfleet/proto/pushfleet/registry/v1/presence';
import { presenceLimits } from './limits.ts';
import type { Members } from './members.ts';
import { enteredMessage, readPublication } from './message.ts';

export interface WatchingOptions {
  readonly backbone: Pick<Backbone, 'bus'>;
  readonly members: Pick<Members, 'topics' | 'list'>;
  readonly most: number;
}

/** Who watches. */
export interface Watcher {
  /** Everybody who is there, once. What changed meanwhile follows. */
  onSnapshot(entered: readonly PresenceChange[]): void;
  onChange(change: PresenceChange): void;
  /** The watch has ended: changes were missed, or there is no snapshot. Comes once. */
  onEnd(error: PushfleetError): void;
}

/** Topics read at a time. */
const topicsCount = 1_000;

/** Follows what is published below `$presence/`, behind what Redis holds. */
export class Watching {
  readonly #options: WatchingOptions;
  #size = 0;

  constructor(options: WatchingOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Watches until the returned function is called.
   *
   * @throws PushfleetError `rate_limited` where this instance has its most watches
   */
  watch(namespace: Namespace, filter: TopicFilter, watcher: Watcher): () => void {
    const { most, backbone } = this.#options;
    if (this.#size >= most) {
      throw new PushfleetError(
        'rate_limited',
        `This instance serves its most, ${most} watches of presence.`,
        {
          retryAfterMs: 1_000,
        },
      );
    }
    this.#size++;
    let waiting: Publication[] | undefined = [];
    let ended = false;
    let from = 0;
    const stop = (): void => {
      if (ended) return;
      ended = true;
      this.#size--;
      following.stop();
    };
    const fail = (error: unknown): void => {
      if (ended) return;
      stop();
      watcher.onEnd(PushfleetError.from(error));
    };
    const tell = (publication: Publication): void => {
      const change = readPublication(namespace, publication);
      if (change !== undefined && Number(change.presence?.revision) > from) watcher.onChange(change);
    };
    const take = (item: Item<Publication>): void => {
      if (item.kind === 'gap') fail(missed());
      else if (waiting === undefined) tell(item.value);
      else waiting.push(item.value);
    };
    const following = backbone.bus(namespace).follow(take);
    const begin = async (): Promise<void> => {
      await following.add(`${presencePrefix}${filter}` as TopicFilter);
      const snapshot = await this.#snapshot(namespace, filter, () => ended);
      if (ended) return;
      // What was published before is in the snapshot; what came meanwhile may be in it, and is true again.
      from = snapshot.revision;
      watcher.onSnapshot(snapshot.entered);
      const held = waiting ?? [];
      waiting = undefined;
      for (const publication of held) tell(publication);
    };
    begin().catch(fail);
    return stop;
  }

  async #snapshot(
    namespace: Namespace,
    filter: TopicFilter,
    isOver: () => boolean,
  ): Promise<{ readonly revision: number; readonly entered: readonly PresenceChange[] }> {
    const { members } = this.#options;
    const entered: PresenceChange[] = [];
    let revision: number | undefined;
    for (let after = ''; !isOver(); ) {
      const page = await members.topics(namespace, after, topicsCount);
      revision ??= page.revision;
      for (const topic of page.topics) {
        if (matches(filter, topic)) entered.push(...(await this.#members(namespace, topic)));
      }
      if (page.topics.length < topicsCount) break;
      after = page.topics.at(-1) as Topic;
    }
    return { revision: revision ?? 0, entered };
  }

  async #members(namespace: Namespace, topic: Topic): Promise<readonly PresenceChange[]> {
    const entered: PresenceChange[] = [];
    for (let after = ''; ; ) {
      const question = { namespace, topic, subject: '', after, limit: presenceLimits.pageMost };
      const { members, next } = await this.#options.members.list(question);
      for (const member of members) entered.push(enteredMessage({ namespace, topic }, member));
      if (next === '') return entered;
      after = next;
    }
  }
}

const missed = () =>
  new PushfleetError(
    'unavailable',
    'Changes of presence may have been missed. Watch again, and begin anew.',
    {
      retryAfterMs: 100,
    },
  );
