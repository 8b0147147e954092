import type { Ledger } from '@pushfleet/bus';
import type { Namespace } from '@pushfleet/core';
import type {
  MatchAnswer,
  MatchQuestion,
  SubscriptionKind,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log, Part } from '@pushfleet/runtime';
import type { Store } from '../redis.ts';
import type {
  IndexPage,
  IndexQuery,
  ReadChange,
  SubscriptionIndex,
} from '../subscriptions/subscription-index.ts';
import { applySteps } from './apply.ts';
import { Following, forgetMs, type Step } from './following.ts';
import { Matcher } from './matcher.ts';
import { Reader } from './reader.ts';
import { Repair } from './repair.ts';
import { countScript, listScript, wildScript } from './scripts.ts';
import { SummaryStore } from './summary.ts';
import { Wildcards } from './wildcards.ts';

export interface IndexOptions {
  readonly store: Store;
  /** The ledger `subscriptions`. */
  readonly ledger: Pick<Ledger, 'get' | 'put' | 'read'>;
  readonly changeOf: ReadChange;
  readonly log: Log;
  readonly now?: () => number;
}

/** What the index holds, over all namespaces, as it was counted last. */
export interface IndexSizes {
  readonly subscriptions: number;
  readonly filters: number;
  readonly wildcards: number;
}

/** Also without a question the index is looked after so often, in milliseconds. */
const roundMs = 60_000;
/** Subscriptions that one step of a list looks at, and how many steps a page has. */
const lookCount = 1_000;
const lookSteps = 10;
/** Namespaces that are counted at the same time. */
const countsAtOnce = 50;

/** The subscriptions in Redis, kept equal to the log. */
export class RedisIndex implements SubscriptionIndex, Part {
  readonly name = 'index';
  readonly #store: Store;
  readonly #log: Log;
  readonly #following: Following;
  readonly #wildcards: Wildcards;
  readonly #repair: Repair;
  readonly #reader: Reader;
  readonly #matcher: Matcher;
  #sizes: IndexSizes = { subscriptions: 0, filters: 0, wildcards: 0 };
  #timer: NodeJS.Timeout | undefined;

  constructor({ store, ledger, changeOf, log, now = Date.now }: IndexOptions) {
    this.#store = store;
    this.#log = log;
    const summaries = new SummaryStore(store, forgetMs, now);
    this.#repair = new Repair({
      ...{ store, ledger, changeOf, log, now, summaries },
      era: () => this.#following.era,
      whole: (namespace) => this.#reader.whole(countScript, namespace),
    });
    this.#following = new Following({
      ...{ ledger, changeOf, summaries, now },
      rebuildAll: (era) => this.#repair.all(era),
      onSteps: (steps) => this.#take(steps, now),
      onForget: () => this.#wildcards.clear(),
    });
    this.#reader = new Reader({ store, following: this.#following, repair: this.#repair });
    this.#wildcards = new Wildcards((namespace, after, count) => this.#readFilters(namespace, after, count));
    this.#matcher = new Matcher({
      ...{ following: this.#following, wildcards: this.#wildcards, reader: this.#reader, now },
    });
  }

  /** As of the last round. */
  get sizes(): IndexSizes {
    return this.#sizes;
  }

  /** Wildcard filters in the memory of this instance. */
  get held(): number {
    return this.#wildcards.size;
  }

  /** How often this instance made good what Redis had lost: the end of a namespace, or whole ones. */
  get repairs(): { readonly caught: number; readonly rebuilt: number } {
    return this.#repair.counts;
  }

  /** Begins to look after the index, and does not wait for it. */
  async start(): Promise<void> {
    this.#store.onReturn(() => void this.#round());
    this.#timer = setInterval(() => void this.#round(), roundMs).unref();
    void this.#round();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#repair.close();
  }

  async list({ namespace, owner, kind, filter, state, after, limit }: IndexQuery): Promise<IndexPage> {
    await this.#following.current();
    const ids: string[] = [];
    let from = after;
    if (this.#following.latest(namespace) === undefined) return { ids, next: undefined };
    for (let step = 0; step < lookSteps; step++) {
      const narrow = [owner, kind, state, filter].map((one) => one ?? '');
      const args = [from, lookCount, limit - ids.length, ...narrow];
      const reply = await this.#reader.ask(listScript, namespace, ...args);
      const [, , next, ...found] = reply as unknown as string[];
      ids.push(...found);
      if (!next) return { ids, next: undefined };
      if (ids.length === limit) return { ids, next };
      from = next;
    }
    return { ids, next: from };
  }

  match(
    kind: SubscriptionKind,
    questions: readonly MatchQuestion[],
    pageSize: number,
  ): Promise<readonly MatchAnswer[]> {
    return this.#matcher.match(kind, questions, pageSize);
  }

  async count(namespace: Namespace): Promise<number> {
    await this.#following.current();
    return (await this.#count(namespace)).subscriptions;
  }

  /** What is new in the log. That Redis could not take it is found by the next question. */
  async #take(steps: readonly Step[], now: () => number): Promise<void> {
    for (const { namespace, changes } of steps) this.#wildcards.note(namespace, changes);
    await applySteps({ store: this.#store, era: this.#following.era, now }, steps).catch(() => {});
  }

  async #readFilters(namespace: Namespace, after: string, count: number): Promise<readonly string[]> {
    const [, , page] = await this.#reader.ask(wildScript, namespace, after === '' ? '-' : `(${after}`, count);
    return page as readonly string[];
  }

  async #count(namespace: Namespace): Promise<IndexSizes> {
    if (this.#following.latest(namespace) === undefined)
      return { subscriptions: 0, filters: 0, wildcards: 0 };
    const reply = await this.#reader.ask(countScript, namespace);
    const [subscriptions, filters, wildcards] = reply.slice(2) as [number, number, number];
    return { subscriptions, filters, wildcards };
  }

  /** Finds what Redis lacks before somebody asks for it, and counts. */
  async #round(): Promise<void> {
    try {
      await this.#following.current();
      const namespaces = this.#following.namespaces();
      const sum = { subscriptions: 0, filters: 0, wildcards: 0 };
      for (let from = 0; from < namespaces.length; from += countsAtOnce) {
        const some = namespaces.slice(from, from + countsAtOnce);
        for (const sizes of await Promise.all(some.map((namespace) => this.#count(namespace)))) {
          sum.subscriptions += sizes.subscriptions;
          sum.filters += sizes.filters;
          sum.wildcards += sizes.wildcards;
        }
      }
      this.#sizes = sum;
    } catch (error) {
      this.#log.debug({ err: error }, 'the index of subscriptions could not be looked after');
    }
  }
}
