import type { Backbone, Deletion, Lifecycle, Namespace, Publication, Topic } from '@pushfleet/core';
import { type Hub, type HubStats, NamespaceHub } from './hub.ts';
import { Linger } from './linger.ts';
import { type HubOptions, hubDefaults } from './options.ts';
import { type Explanation, explain } from './tally.ts';

/** The hubs of one process, one per namespace. */
export interface Hubs extends Lifecycle {
  /** The namespace's hub, made at its first use and gone a while after its last feed: do not keep it. */
  of(namespace: Namespace): Hub;
  /** Feeds of this process whose filters match the topic at this moment. */
  feedsOn(namespace: Namespace, topic: Topic): number;
  /** What became of a live publication here; by its place, since that is what the log knows it by. */
  explain(namespace: Namespace, at: Pick<Publication, 'shard' | 'sequence'>): Explanation;
  /** Stops giving what the log has deleted from memory. What a replay is giving at this moment may still arrive. */
  forget(namespace: Namespace, deletion: Deletion): void;
  stats(): HubsStats;
}

/** The sums over all hubs. */
export interface HubsStats extends HubStats {
  readonly namespaces: number;
}

/** Hubs on a backbone, which is started and closed by its owner. */
export function createHubs(backbone: Backbone, options: Partial<HubOptions> = {}): Hubs {
  return new NamespaceHubs(backbone, { ...hubDefaults, ...options });
}

class NamespaceHubs implements Hubs {
  readonly #backbone: Backbone;
  readonly #options: HubOptions;
  readonly #hubs = new Map<Namespace, NamespaceHub>();
  readonly #idle: Linger<Namespace>;
  readonly #stopListening: () => void;
  #draining = false;
  #onEmpty: (() => void) | undefined;

  constructor(backbone: Backbone, options: HubOptions) {
    this.#backbone = backbone;
    this.#options = options;
    this.#idle = new Linger(options.clock, options.idleMs, (namespace) => this.#drop(namespace));
    // A deletion may have been told while nothing could be heard.
    this.#stopListening = backbone.signals.onReturn(() => {
      for (const hub of this.#hubs.values()) hub.forgetRecent();
    });
  }

  of(namespace: Namespace): Hub {
    let hub = this.#hubs.get(namespace);
    if (hub === undefined) {
      hub = new NamespaceHub(this.#backbone.bus(namespace), this.#options, () => this.#emptied(namespace));
      if (this.#draining) hub.drain();
      this.#hubs.set(namespace, hub);
    }
    if (hub.size === 0) this.#idle.add(namespace);
    return hub;
  }

  feedsOn(namespace: Namespace, topic: Topic): number {
    return this.#hubs.get(namespace)?.feedsOn(topic) ?? 0;
  }

  explain(namespace: Namespace, { shard, sequence }: Pick<Publication, 'shard' | 'sequence'>): Explanation {
    return this.#hubs.get(namespace)?.explain(shard, sequence) ?? explain(undefined);
  }

  forget(namespace: Namespace, deletion: Deletion): void {
    this.#hubs.get(namespace)?.forget(deletion);
  }

  stats(): HubsStats {
    const sum = {
      namespaces: this.#hubs.size,
      feeds: 0,
      filters: 0,
      followed: 0,
      ring: { count: 0, bytes: 0 },
      outbox: { count: 0, bytes: 0 },
      replays: { reading: 0, waiting: 0 },
    };
    for (const { stats } of this.#hubs.values()) {
      sum.feeds += stats.feeds;
      sum.filters += stats.filters;
      sum.followed += stats.followed;
      sum.ring.count += stats.ring.count;
      sum.ring.bytes += stats.ring.bytes;
      sum.outbox.count += stats.outbox.count;
      sum.outbox.bytes += stats.outbox.bytes;
      sum.replays.reading += stats.replays.reading;
      sum.replays.waiting += stats.replays.waiting;
    }
    return sum;
  }

  async start(): Promise<void> {}

  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    for (const hub of this.#hubs.values()) hub.drain();
    await new Promise<void>((resolve) => {
      this.#onEmpty = () => {
        if (this.#feeds === 0) resolve();
      };
      deadline.addEventListener('abort', () => resolve(), { once: true });
      if (deadline.aborted) resolve();
      this.#onEmpty();
    });
  }

  async close(): Promise<void> {
    this.#draining = true;
    this.#stopListening();
    this.#idle.clear();
    const hubs = [...this.#hubs.values()];
    this.#hubs.clear();
    for (const hub of hubs) hub.close({ kind: 'draining' });
  }

  get #feeds(): number {
    let feeds = 0;
    for (const hub of this.#hubs.values()) feeds += hub.size;
    return feeds;
  }

  #emptied(namespace: Namespace): void {
    if (this.#hubs.has(namespace)) this.#idle.add(namespace);
    this.#onEmpty?.();
  }

  #drop(namespace: Namespace): void {
    const hub = this.#hubs.get(namespace);
    if (hub === undefined || hub.size > 0) return;
    this.#hubs.delete(namespace);
    hub.close({ kind: 'draining' });
  }
}
