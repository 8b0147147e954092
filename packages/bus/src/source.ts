import type { Item, Namespace, Publication, TopicFilter } from '@pushfleet/core';
import type { Leaders } from './leaders.ts';

/** A republished message as it came off the wire, decoded only as far as healing needs. */
export interface LiveMessage {
  readonly shard: number;
  readonly sequence: number;
  /** The sequence of the topic's publication before this one, as the log knew it when it stored this one; 0 for none. */
  readonly lastSequence: number;
  readonly topic: string;
  /** The whole publication; decoded at the first call and kept. */
  publication(): Publication;
}

/** A stretch of the log; every list has an entry per shard. */
export interface Range {
  readonly after: readonly number[];
  /** Included. */
  readonly until: readonly number[];
  /** Nothing behind `after` was stored before this time: Unix milliseconds. It tells what aged out from what was deleted. */
  readonly since: readonly number[];
}

/**
 * Why a live supply may have lost something without telling. `connection_lost` is raised at the loss, not at
 * the return: what comes first over the new connection must already be held.
 */
export type Suspicion =
  | { readonly kind: 'connection_lost' }
  | { readonly kind: 'leader_changed'; readonly shard: number };

/**
 * What the follower needs of a log. JetStream provides it, and so does a simulated log that loses, doubles and
 * delays, so that both run the same code.
 */
export interface Source {
  readonly generation: string;
  readonly shards: number;
  /** As this process has heard of them; every change is a suspicion, raised at once. */
  readonly leaders: Pick<Leaders, 'name'>;
  /** Registers live interest; messages may come before the next `heads` answers. */
  attach(namespace: Namespace, filter: TopicFilter, on: (message: LiveMessage) => void): { detach(): void };
  /**
   * The last stored sequence of each shard, asked behind every `attach` made before on the same connection:
   * what is stored later reaches those interests.
   */
  heads(): Promise<{ readonly sequences: readonly number[]; readonly time: number }>;
  /**
   * What is stored after `after[shard]` up to and including `until[shard]` and matches any filter, in order
   * per topic, in batches; asked again where a replica is behind `until`. What aged out comes as a gap, what was
   * deleted or outlived its own time does not.
   */
  read(
    namespace: Namespace,
    filters: readonly TopicFilter[],
    range: Range,
    signal: AbortSignal,
  ): AsyncIterable<readonly Item<Publication>[]>;
  /** Calls `on` whenever live messages may have been lost; returns how to stop. */
  onSuspicion(on: (suspicion: Suspicion) => void): () => void;
}
