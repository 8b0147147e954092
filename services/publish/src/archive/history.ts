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
import type { Grant } from '@pushfleet/runtime';
import { LogWalk } from './log-walk.ts';
import type { Reads } from './reads.ts';

/** Whether a topic's past may be read, as its policy says. */
export type HistoryOn = (namespace: Namespace, topic: Topic) => boolean;

export interface HistoryOptions {
  readonly backbone: Backbone;
  readonly reads: Reads;
  readonly historyOn: HistoryOn;
  /** Most bytes of the publications of one page; a single one may have more. */
  readonly pageBytes: number;
}

/** Most publications of one page, and how many there are unless the caller says. */
export const pageCount = { most: 1_000, usual: 100 } as const;

/** What a caller asks for; its filters are granted. */
export interface HistoryAsk {
  readonly filters: readonly TopicFilter[];
  /** At most one of the two; neither: from the oldest stored. */
  readonly after: Cursor | undefined;
  /** Unix time in milliseconds. */
  readonly since: number | undefined;
  /** Most publications, 1 to 1,000. */
  readonly limit: number;
}

/** @throws PushfleetError `request_invalid` */
export function checkLimit(limit: number): number {
  if (limit >= 1 && limit <= pageCount.most) return limit;
  const given = Number.isNaN(limit) ? 'something that is no whole number' : limit;
  throw new PushfleetError(
    'request_invalid',
    `A page has 1 to ${pageCount.most} publications, not ${given}.`,
    {
      detail: { limit: pageCount.most },
    },
  );
}

/** @throws PushfleetError `request_invalid` where it begins at two places */
export function checkHistory(ask: HistoryAsk): HistoryAsk {
  if (ask.after === undefined || ask.since === undefined) return ask;
  throw new PushfleetError('request_invalid', 'Give "after" or "since", not both.');
}

/** A publication with the place behind it. */
export interface Placed {
  readonly publication: Publication;
  readonly cursor: Cursor;
}

export interface HistoryPage {
  /** In the order of their time; of one topic, as stored. */
  readonly publications: readonly Placed[];
  /** Where the next page begins, and a live subscription goes on. */
  readonly cursor: Cursor;
  /** More was stored than fits into this page. */
  readonly more: boolean;
  /** Before the first publication of the page some were lost. */
  readonly gap: { readonly from: Cursor; readonly to: Cursor } | undefined;
}

/** Pages of what the log holds. */
export class History {
  readonly #options: HistoryOptions;

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  /**
   * Reads one page, up to the head of this moment. `left` is aborted when nobody waits for it any more.
   *
   * @throws PushfleetError `history_off`, `rate_limited`, `timeout`, `cursor_invalid`, or `unavailable` when the log
   *   is out of reach
   */
  async read(grant: Grant, ask: HistoryAsk, left: AbortSignal): Promise<HistoryPage> {
    const { backbone, reads } = this.#options;
    const { namespace } = grant;
    for (const filter of ask.filters) {
      // Every exact filter is a topic.
      if (isExact(filter)) this.requireOn(namespace, filter as string as Topic);
    }
    return reads.run(grant, left, async (signal) => {
      const walk = await LogWalk.open({ bus: backbone.bus(namespace), ...ask, signal });
      try {
        return await this.#page(namespace, walk, ask.limit, left);
      } finally {
        void walk.close();
      }
    });
  }

  /** @throws PushfleetError `history_off` where the topic's past may not be read */
  requireOn(namespace: Namespace, topic: Topic): void {
    if (!this.#options.historyOn(namespace, topic)) throw historyOff(topic);
  }

  async #page(namespace: Namespace, walk: LogWalk, limit: number, left: AbortSignal): Promise<HistoryPage> {
    const page = new PageBuilder({ count: limit, bytes: this.#options.pageBytes });
    try {
      while (!page.full) {
        const step = await walk.next();
        if (step === undefined) return page.build(walk.cursor, false);
        if (step.kind === 'gap') {
          // Told at the head of the next page, which begins before it.
          if (page.begun) return page.build(undefined, true);
          page.lose(step.from, step.cursor);
        } else if (!this.#options.historyOn(namespace, step.publication.topic)) page.pass(step.cursor);
        else if (!page.add(step)) return page.build(undefined, true);
      }
      const ended = await walk.atEnd();
      return page.build(ended ? walk.cursor : undefined, !ended);
    } catch (error) {
      // The time is up, or the log went away in the middle: what was found is a page.
      if (left.aborted || !page.begun) throw error;
      return page.build(undefined, true);
    }
  }
}

class PageBuilder {
  readonly #most: { readonly count: number; readonly bytes: number };
  readonly #publications: Placed[] = [];
  #bytes = 0;
  #cursor: Cursor | undefined;
  #gap: HistoryPage['gap'];

  constructor(most: { readonly count: number; readonly bytes: number }) {
    this.#most = most;
  }

  get full(): boolean {
    return this.#publications.length >= this.#most.count;
  }

  /** Whether there is a place to go on from. */
  get begun(): boolean {
    return this.#cursor !== undefined;
  }

  lose(from: Cursor, to: Cursor): void {
    this.#gap = { from, to };
    this.#cursor = to;
  }

  /** False where it does not fit. */
  add(placed: Placed): boolean {
    this.#bytes += weigh(placed.publication);
    if (this.#bytes > this.#most.bytes && this.#publications.length > 0) return false;
    this.#publications.push(placed);
    this.pass(placed.cursor);
    return true;
  }

  /** Goes on behind a publication that is left out. */
  pass(cursor: Cursor): void {
    this.#cursor = cursor;
  }

  build(end: Cursor | undefined, more: boolean): HistoryPage {
    const cursor = end ?? (this.#cursor as Cursor);
    return { publications: this.#publications, cursor, more, gap: this.#gap };
  }
}

// What a publication counts beside its texts and payload.
const overheadBytes = 256;

export function weigh({ topic, id, source, payload, attributes = [] }: Publication): number {
  const texts = attributes.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  return overheadBytes + topic.length + id.length + source.length + payload.length + texts;
}

const historyOff = (topic: Topic): PushfleetError =>
  new PushfleetError(
    'history_off',
    `${quote(topic)} keeps no history, as its policy says; subscribe to it to receive what is published from now on.`,
  );
