import {
  type Cursor,
  covers,
  formatCursor,
  type Item,
  isExact,
  matches,
  type Namespace,
  type Publication,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import { mayHaveAged } from '../gap.ts';
import type { Range } from '../source.ts';
import { filterOf, logScope, topicOf } from '../subject.ts';
import type { StoredMessage, StreamView } from './api.ts';
import type { Broker } from './broker.ts';
import { decodePublication } from './headers.ts';
import { mergeBySequence } from './merge.ts';
import { StreamReader } from './stream-reader.ts';

/** Most messages and bytes of one page, over all filters read side by side. */
const pageCount = 256;
const pageBytes = 1_048_576;
const smallestPageCount = 16;
const smallestPageBytes = 65_536;

/** Most filters read side by side; more are cheaper as one pass over the namespace. */
const mostSideBySide = 128;
/** A filter of its own costs about as much as this many messages passed over. */
const filterWorth = 50;

/** Reads a stretch of the log for a set of filters, shard after shard. */
export async function* readRange(
  broker: Broker,
  namespace: Namespace,
  filters: readonly TopicFilter[],
  range: Range,
  signal: AbortSignal,
): AsyncIterable<readonly Item<Publication>[]> {
  const wanted = range.until.map((until, shard) => until > (range.after[shard] ?? 0));
  if (filters.length === 0 || !wanted.includes(true)) return;
  const views = await broker.views();
  const progress = [...range.after];
  for (let shard = 0; shard < views.length; shard++) {
    if (wanted[shard] !== true) continue;
    const reading = new ShardReading(broker, namespace, filters, shard, progress, range, signal);
    yield* reading.run(views[shard] as StreamView);
  }
}

class ShardReading {
  readonly #broker: Broker;
  readonly #scope: string;
  readonly #filters: readonly TopicFilter[];
  readonly #shard: number;
  readonly #progress: number[];
  readonly #until: number;
  readonly #since: readonly number[];
  readonly #signal: AbortSignal;

  constructor(
    broker: Broker,
    namespace: Namespace,
    filters: readonly TopicFilter[],
    shard: number,
    progress: number[],
    range: Range,
    signal: AbortSignal,
  ) {
    this.#broker = broker;
    this.#scope = logScope(namespace, shard);
    this.#filters = filters;
    this.#shard = shard;
    this.#progress = progress;
    this.#until = range.until[shard] ?? 0;
    this.#since = range.since;
    this.#signal = signal;
  }

  async *run(view: StreamView): AsyncIterable<readonly Item<Publication>[]> {
    const gap = this.#passHole(view);
    if (gap !== undefined) yield [gap];
    const { subjects, keep } = this.#plan();
    const readers = subjects.map((subject) => this.#reader(subject, subjects.length, view.replicas > 1));
    for await (const page of mergeBySequence(readers)) {
      const items = this.#items(page, keep);
      if (items.length > 0) yield items;
      this.#advance(page.at(-1)?.sequence ?? 0);
    }
    this.#advance(this.#until);
  }

  /** One reader a filter, or one for the whole namespace with `keep` to choose. */
  #plan(): { subjects: readonly string[]; keep?: (topic: Topic) => boolean } {
    const few = this.#filters.length <= mostSideBySide ? uncovered(this.#filters) : [];
    const span = this.#until - this.#at;
    if (few.length === 1 || (few.length > 0 && span > few.length * filterWorth)) {
      return { subjects: few.map((filter) => filterOf(this.#scope, filter)) };
    }
    return { subjects: [`${this.#scope}>`], keep: matcher(this.#filters) };
  }

  #reader(filter: string, readers: number, replicated: boolean): StreamReader {
    return new StreamReader({
      link: this.#broker.bulk,
      gate: this.#broker.gate,
      stream: this.#broker.stream(this.#shard),
      filter,
      after: this.#at,
      until: this.#until,
      replicated,
      count: Math.max(smallestPageCount, Math.floor(pageCount / readers)),
      bytes: Math.max(smallestPageBytes, Math.floor(pageBytes / readers)),
      signal: this.#signal,
    });
  }

  #items(page: readonly StoredMessage[], keep?: (topic: Topic) => boolean): Item<Publication>[] {
    const items: Item<Publication>[] = [];
    const now = Date.now();
    for (const message of page) {
      const topic = topicOf(this.#scope, message.subject);
      if (topic === undefined || keep?.(topic) === false) continue;
      const { block, time, sequence } = message;
      const value = decodePublication(block, message.payload, topic, { time, shard: this.#shard, sequence });
      if ((value.expiresAt ?? now + 1) > now) items.push({ kind: 'publication', value });
    }
    return items;
  }

  get #at(): number {
    return this.#progress[this.#shard] ?? 0;
  }

  #advance(sequence: number): void {
    this.#progress[this.#shard] = Math.max(this.#at, sequence);
  }

  /** Goes behind what is stored no more; returns what there is to tell of it. */
  #passHole(view: StreamView): Item<Publication> | undefined {
    const end = Math.min(view.firstSequence - 1, this.#until);
    if (this.#at >= end) return undefined;
    const from = this.#cursor();
    this.#advance(end);
    const told = mayHaveAged(this.#since[this.#shard] ?? 0, view);
    return told ? { kind: 'gap', from, to: this.#cursor() } : undefined;
  }

  #cursor(): Cursor {
    const { generation } = this.#broker.layout;
    return formatCursor({ generation, positions: this.#progress, time: Math.min(...this.#since) });
  }
}

/** The filters that no other of them covers. */
function uncovered(filters: readonly TopicFilter[]): TopicFilter[] {
  const distinct = [...new Set(filters)];
  return distinct.filter((filter) => !distinct.some((other) => other !== filter && covers(other, filter)));
}

function matcher(filters: readonly TopicFilter[]): (topic: Topic) => boolean {
  const exact = new Set<string>(filters.filter(isExact));
  const wildcards = filters.filter((filter) => !isExact(filter));
  return (topic) => exact.has(topic) || wildcards.some((filter) => matches(filter, topic));
}
