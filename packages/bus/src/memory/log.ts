import {
  type Deletion,
  type Draft,
  formatCursor,
  limits,
  type Namespace,
  type Publication,
  PushfleetError,
  type Stored,
  type Topic,
} from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import type { Shelf } from '../gap.ts';
import { shardOf } from '../shard.ts';
import type { MemoryGroup } from './group.ts';
import type { MemoryLedger } from './ledger.ts';
import type { QueueStore } from './queue.ts';
import type { ShelfStore } from './shelf.ts';
import { Wire } from './signals.ts';

/** A publication in the log, with what the broker would tell beside it. */
export interface Entry {
  readonly namespace: Namespace;
  readonly publication: Publication;
  /** Sequence of the topic's publication before this one; 0 for none. */
  readonly lastSequence: number;
  /** When its own time ends, by its publisher or a policy: Unix milliseconds. */
  readonly endsAt: number;
}

interface ShardLog {
  /** Ascending by sequence. */
  entries: Entry[];
  last: number;
  /** What was stored up to this time may be gone. */
  horizon: number;
  /** Until then no entry comes to its end. */
  wholeUntil: number;
}

export interface MemoryLogOptions {
  readonly clock: Clock;
  readonly shards: number;
  readonly generation: string;
  /** How long publications are kept, in milliseconds. */
  readonly maxAgeMs?: number;
}

const keyOf = (namespace: Namespace, topic: Topic): string => `${namespace} ${topic}`;

/** The log of the in-memory backbone: what JetStream's streams hold, in arrays. */
export class MemoryLog {
  readonly generation: string;
  readonly shards: ShardLog[];
  /** Backbones of one log hear each other's signals. */
  readonly wire = new Wire();
  /** By name: what they put into a queue, others take. */
  readonly queues = new Map<string, QueueStore>();
  /** By namespace and name: backbones of one log share what they owe. */
  readonly groups = new Map<string, MemoryGroup>();
  /** By name: backbones of one log keep the same things beside it. */
  readonly ledgers = new Map<string, MemoryLedger>();
  readonly shelves = new Map<string, ShelfStore>();
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #ids = new Map<string, Stored>();
  readonly #lastByTopic = new Map<string, number>();
  readonly #retained = new Map<string, Entry>();
  readonly #listeners = new Set<(entry: Entry) => void>();
  /** Where set, every publish and everything put into a queue is refused with it: the log is away or full. */
  refusal: PushfleetError | undefined;
  /** As if every shard's leader had taken over then, Unix milliseconds; undefined: they never changed. */
  leaderSince: number | undefined;

  constructor({ clock, shards, generation, maxAgeMs = Number.POSITIVE_INFINITY }: MemoryLogOptions) {
    this.#clock = clock;
    this.generation = generation;
    this.#maxAgeMs = maxAgeMs;
    this.shards = Array.from({ length: shards }, () => ({
      entries: [],
      last: 0,
      horizon: 0,
      wholeUntil: Number.POSITIVE_INFINITY,
    }));
  }

  /** Calls `on` for every entry right after it was stored. */
  listen(on: (entry: Entry) => void): () => void {
    this.#listeners.add(on);
    return () => this.#listeners.delete(on);
  }

  append(namespace: Namespace, draft: Draft): Stored | PushfleetError {
    if (this.refusal !== undefined) return this.refusal;
    if (draft.payload.length > limits.payloadBytes) {
      return new PushfleetError('payload_too_large', `The payload has ${draft.payload.length} bytes.`);
    }
    const identity = JSON.stringify([namespace, draft.source, draft.topic, draft.id]);
    const known = this.#ids.get(identity);
    if (known !== undefined) return { ...known, duplicate: true };
    const stored = this.#store(namespace, draft);
    this.#ids.set(identity, stored);
    return stored;
  }

  #store(namespace: Namespace, draft: Draft): Stored {
    const shard = shardOf(draft.topic, this.shards.length);
    const log = this.#at(shard);
    const { keepMs = Number.POSITIVE_INFINITY, ...kept } = draft;
    const time = this.#clock.now();
    const publication: Publication = { ...kept, time, shard, sequence: ++log.last };
    const key = keyOf(namespace, draft.topic);
    const endsAt = Math.min(draft.expiresAt ?? Number.POSITIVE_INFINITY, time + keepMs);
    log.wholeUntil = Math.min(log.wholeUntil, endsAt, time + this.#maxAgeMs);
    const entry = { namespace, publication, lastSequence: this.#lastByTopic.get(key) ?? 0, endsAt };
    log.entries.push(entry);
    this.#lastByTopic.set(key, publication.sequence);
    if (draft.retain) {
      if (draft.payload.length === 0) this.#retained.delete(key);
      else this.#retained.set(key, entry);
    }
    for (const listener of this.#listeners) listener(entry);
    const positions = this.shards.map((_, index) => (index === shard ? publication.sequence : undefined));
    const cursor = formatCursor({ generation: this.generation, positions, time: publication.time });
    return { id: draft.id, topic: draft.topic, cursor, duplicate: false };
  }

  heads(): { sequences: number[]; time: number } {
    return { sequences: this.shards.map(({ last }) => last), time: this.#clock.now() };
  }

  /** What a shard holds now. */
  entries(shard: number): readonly Entry[] {
    return this.#at(shard).entries;
  }

  shelf(shard: number): Shelf {
    const { entries, last, horizon } = this.#at(shard);
    const firstSequence = entries[0]?.publication.sequence ?? last + 1;
    return { firstSequence, horizon: Math.max(horizon, this.#clock.now() - this.#maxAgeMs) };
  }

  *retained(): Iterable<Entry> {
    const now = this.#clock.now();
    for (const entry of this.#retained.values()) {
      if ((entry.publication.expiresAt ?? now + 1) > now) yield entry;
    }
  }

  find(namespace: Namespace, topic: Topic, sequence: number): Publication | undefined {
    const isIt = (entry: Entry) =>
      entry.namespace === namespace &&
      entry.publication.topic === topic &&
      entry.publication.sequence === sequence;
    return this.entries(shardOf(topic, this.shards.length)).find(isIt)?.publication;
  }

  /** The publication at a place, of whatever topic. */
  at(namespace: Namespace, shard: number, sequence: number): Publication | undefined {
    if (shard >= this.shards.length) return undefined;
    const entry = this.entries(shard).find(({ publication }) => publication.sequence === sequence);
    return entry?.namespace === namespace ? entry.publication : undefined;
  }

  /** Deletes a topic's publications: all, or the one of that sequence. */
  delete(namespace: Namespace, topic: Topic, sequence?: number): Deletion {
    const shard = shardOf(topic, this.shards.length);
    const goes = (entry: Entry) =>
      entry.namespace === namespace &&
      entry.publication.topic === topic &&
      (sequence === undefined || entry.publication.sequence === sequence);
    const gone = this.#take(this.#at(shard), goes).map(({ publication }) => publication.sequence);
    const retained = this.#retained.get(keyOf(namespace, topic));
    if (retained !== undefined && goes(retained)) {
      this.#retained.delete(keyOf(namespace, topic));
      if (gone.length === 0) gone.push(retained.publication.sequence);
    }
    return { topic, shard, first: gone[0] ?? 0, last: gone.at(-1) ?? 0, count: gone.length };
  }

  /** Takes out everything up to `sequence`, as age does. */
  purge(shard: number, sequence: number): void {
    const log = this.#at(shard);
    const gone = this.#take(log, ({ publication }) => publication.sequence <= sequence);
    log.horizon = Math.max(log.horizon, ...gone.map(({ publication }) => publication.time));
  }

  #at(shard: number): ShardLog {
    const log = this.shards[shard] as ShardLog;
    const now = this.#clock.now();
    if (now < log.wholeUntil) return log;
    const endOf = ({ publication, endsAt }: Entry) => Math.min(endsAt, publication.time + this.#maxAgeMs);
    this.#take(log, (entry) => endOf(entry) <= now);
    log.wholeUntil = Math.min(...log.entries.map(endOf));
    return log;
  }

  /** Takes entries out. The log knows no longer that their topics had them. */
  #take(log: ShardLog, goes: (entry: Entry) => boolean): Entry[] {
    const gone = log.entries.filter(goes);
    if (gone.length === 0) return gone;
    log.entries = log.entries.filter((entry) => !goes(entry));
    const left = new Map(gone.map((entry) => [keyOf(entry.namespace, entry.publication.topic), 0]));
    for (const { namespace, publication } of log.entries) {
      const key = keyOf(namespace, publication.topic);
      if (left.has(key)) left.set(key, publication.sequence);
    }
    for (const [key, last] of left) this.#lastByTopic.set(key, last);
    return gone;
  }
}
