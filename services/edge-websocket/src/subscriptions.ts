import {
  type Cursor,
  type Namespace,
  PushfleetError,
  parseTopicFilter,
  type TopicFilter,
} from '@pushfleet/core';
import { type Outflow, parseFilters } from '@pushfleet/edge';
import type { Grant, Quotas } from '@pushfleet/runtime';
import type { Subscribe } from './client-message.ts';

export interface SubscriptionsOptions {
  /** Filters of one connection. */
  readonly most: number;
  readonly namespace: Namespace;
  readonly quotas: Pick<Quotas, 'subscribe' | 'unsubscribe'>;
}

/** The filters that one connection holds. */
export class Subscriptions {
  readonly #outflow: Outflow;
  readonly #o: SubscriptionsOptions;
  #filters: readonly TopicFilter[] = none;
  /** Those whose fence is being waited for. */
  #adding = 0;

  constructor(outflow: Outflow, options: SubscriptionsOptions) {
    this.#outflow = outflow;
    this.#o = options;
  }

  /**
   * Adds all of the filters or none, and resolves with the place to resume from.
   *
   * @throws PushfleetError `forbidden`, `filter_invalid`, `too_many_filters` or `quota_subscriptions`, or as the feed does
   */
  async add(grant: Grant, { filters: texts, after, retained }: Subscribe): Promise<Cursor> {
    const { most, namespace, quotas } = this.#o;
    const filters = parseFilters(texts, most);
    for (const filter of filters) grant.require('subscribe', filter);
    const fresh = filters.filter((filter) => !this.#filters.includes(filter));
    if (this.#filters.length + fresh.length > most) throw tooMany(most);
    quotas.subscribe(namespace, fresh.length);
    this.#filters = [...this.#filters, ...fresh];
    this.#adding++;
    try {
      await this.#outflow.feed.add(filters, { retained, ...(after !== undefined && { after }) });
      return this.#placeBehind(after);
    } catch (error) {
      this.#forget(fresh);
      throw error;
    } finally {
      this.#adding--;
    }
  }

  /** Those that it does not hold do not matter. @throws PushfleetError `filter_invalid` */
  remove(texts: readonly string[]): void {
    const filters = texts.map(parseTopicFilter);
    for (const filter of filters) this.#outflow.feed.remove(filter);
    this.#forget(filters);
  }

  /** @throws PushfleetError `forbidden` where the grant does not cover them all */
  require(grant: Grant): void {
    for (const filter of this.#filters) grant.require('subscribe', filter);
  }

  /** Gives back what they took of the quota; the feed is closed by its owner. */
  close(): void {
    this.#forget(this.#filters);
  }

  /** Who comes with a place stays there: the feed's own may still lie before it. */
  #placeBehind(after: Cursor | undefined): Cursor {
    const outflow = this.#outflow;
    const first = outflow.told === undefined && this.#adding === 1;
    outflow.told = (first ? after : undefined) ?? outflow.feed.cursor;
    return outflow.told;
  }

  #forget(filters: readonly TopicFilter[]): void {
    const left = this.#filters.filter((filter) => !filters.includes(filter));
    this.#o.quotas.unsubscribe(this.#o.namespace, this.#filters.length - left.length);
    this.#filters = left;
  }
}

const none: readonly TopicFilter[] = [];

function tooMany(limit: number): PushfleetError {
  return new PushfleetError(
    'too_many_filters',
    `A connection holds at most ${limit} topic filters. Use a wider one, or another connection.`,
    { detail: { limit } },
  );
}
