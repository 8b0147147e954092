import {
  type Backbone,
  type Cursor,
  isExact,
  type Namespace,
  type Publication,
  PushfleetError,
  quote,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import {
  explainEverywhere,
  type Fleet,
  type Grant,
  type HubExplanation,
  type Instance,
} from '@pushfleet/runtime';
import { asFilter } from '../filters.ts';
import type { Placed } from './history.ts';
import { LogWalk } from './log-walk.ts';
import type { Reads } from './reads.ts';
import { behind } from './topic-view.ts';

export interface ExplainOptions {
  readonly backbone: Backbone;
  readonly fleet: Pick<Fleet, 'ask'>;
  readonly reads: Reads;
  /** Most publications that one search looks at. */
  readonly publications: number;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

/** Which publication is meant. */
export interface ExplainAsk {
  readonly id: string;
  readonly filter: TopicFilter;
  /** Unix time in milliseconds from which the log is searched; absent: an hour ago. */
  readonly since: number | undefined;
  /** The place right behind it, as its receipt or delivery named it: then nothing is searched. */
  readonly at: Cursor | undefined;
}

/** @throws PushfleetError `request_invalid` */
export function checkAsk(ask: ExplainAsk): ExplainAsk {
  if (ask.id === '')
    throw new PushfleetError('request_invalid', 'Name the "id" of the publication to explain.');
  if (ask.since !== undefined && ask.at !== undefined) {
    throw new PushfleetError('request_invalid', 'Give "since" or "cursor", not both.');
  }
  return ask;
}

/** How far the log was searched. */
export interface Search {
  /** How many publications were looked at. */
  readonly scanned: number;
  /** Unix time in milliseconds of the oldest and the newest that would have been found. */
  readonly from: number;
  readonly to: number;
  /** Everything between was looked at, up to now; else more of the id may be stored after `to`. */
  readonly complete: boolean;
}

/** Who a publication was for, and what became of it there. Later kinds stand beside this one. */
export type Receiver = { readonly kind: 'feeds' } & Instance & HubExplanation;

export interface Explained extends Placed {
  /** It is the topic's retained publication at this moment. */
  readonly retained: boolean;
  readonly receivers: readonly Receiver[];
}

export interface Explanation {
  readonly search: Search;
  /** All of that id; several where it was published on several topics, or again after the duplicate window. */
  readonly publications: readonly Explained[];
}

/** How far back a search goes unless told. */
const usualSearchMs = 3_600_000;

/** Most publications of one id that are explained; the search ends with them. */
const mostExplained = 20;

/** Tells what became of a publication. */
export class Explainer {
  readonly #options: ExplainOptions;
  readonly #now: () => number;

  constructor(options: ExplainOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Finds the publications of an id and asks the fleet for each what became of it. `left` is aborted when nobody
   * waits for it any more.
   *
   * @throws PushfleetError `forbidden`, `request_invalid`, `rate_limited`, `cursor_invalid`, or `unavailable` when
   *   the log is out of reach
   */
  async explain(grant: Grant, ask: ExplainAsk, left: AbortSignal): Promise<Explanation> {
    grant.require('manage', ask.filter);
    const { namespace } = grant;
    const { search, found } = await this.#options.reads.run(grant, left, (signal) =>
      ask.at === undefined ? this.#search(namespace, ask, signal) : this.#find(namespace, ask, ask.at),
    );
    const publications = await Promise.all(found.map((placed) => this.#explain(namespace, placed, left)));
    return { search, publications };
  }

  async #find(namespace: Namespace, { id, filter }: ExplainAsk, at: Cursor): Promise<Found> {
    if (!isExact(filter)) {
      throw new PushfleetError(
        'request_invalid',
        `A cursor names one publication of one topic; ${quote(filter)} has wildcards. Name the topic, or leave the cursor out.`,
      );
    }
    const publication = await this.#options.backbone.bus(namespace).find(filter as string as Topic, at);
    const now = this.#now();
    if (publication === undefined || publication.id !== id) {
      return { search: { scanned: 1, from: now, to: now, complete: true }, found: [] };
    }
    const { time } = publication;
    return {
      search: { scanned: 1, from: time, to: time, complete: true },
      found: [{ publication, cursor: at }],
    };
  }

  async #search(
    namespace: Namespace,
    { id, filter, since }: ExplainAsk,
    signal: AbortSignal,
  ): Promise<Found> {
    const { backbone, publications: most } = this.#options;
    const from = since ?? Math.max(0, this.#now() - usualSearchMs);
    const walk = await LogWalk.open({
      bus: backbone.bus(namespace),
      filters: [filter],
      after: undefined,
      since: from,
      signal,
    });
    const found: Placed[] = [];
    let scanned = 0;
    let to = from;
    try {
      for (; scanned < most && found.length < mostExplained; ) {
        const step = await walk.next();
        if (step === undefined) return { search: { scanned, from, to: this.#now(), complete: true }, found };
        if (step.kind === 'gap') continue;
        scanned++;
        to = step.publication.time;
        if (step.publication.id === id) found.push(step);
      }
    } catch (error) {
      // The time is up: what was searched until then is told.
      if (!isTimeout(signal)) throw error;
    } finally {
      void walk.close();
    }
    return { search: { scanned, from, to, complete: false }, found };
  }

  async #explain(namespace: Namespace, placed: Placed, left: AbortSignal): Promise<Explained> {
    const { backbone, fleet } = this.#options;
    const { publication } = placed;
    const bus = backbone.bus(namespace);
    const [told, retained, head] = await Promise.all([
      explainEverywhere(fleet, namespace, publication),
      isRetained(bus.retained(asFilter(publication.topic), left), publication),
      bus.head(),
    ]);
    const receivers = told.map(({ from, explanation }) => ({
      kind: 'feeds' as const,
      ...from,
      ...explanation,
    }));
    return { publication, cursor: behind(publication, head), retained, receivers };
  }
}

interface Found {
  readonly search: Search;
  readonly found: readonly Placed[];
}

const isTimeout = ({ reason }: AbortSignal): boolean =>
  reason instanceof DOMException && reason.name === 'TimeoutError';

async function isRetained(
  retained: AsyncIterable<readonly Publication[]>,
  { shard, sequence, id }: Publication,
): Promise<boolean> {
  for await (const batch of retained) {
    if (batch.some((one) => one.shard === shard && one.sequence === sequence && one.id === id)) return true;
  }
  return false;
}
