import {
  type Draft,
  formatCursor,
  limits,
  type Namespace,
  type Publication,
  PushfleetError,
  type Stored,
} from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import { shardOf } from '../shard.ts';
import { Wire } from './signals.ts';

/** A publication in the log, with what the broker would tell beside it. */
export interface Entry {
  readonly namespace: Namespace;
  readonly publication: Publication;
  /** Sequence of the topic's publication before this one; 0 for none. */
  readonly lastSequence: number;
}

interface ShardLog {
  /** Ascending by sequence; entries that expired are taken out. */
  entries: Entry[];
  last: number;
  /** Sequences up to this one are gone. */
  purged: number;
}

/** The log of the in-memory backbone: what JetStream's streams hold, in arrays. */
export class MemoryLog {
  readonly generation: string;
  readonly shards: ShardLog[];
  /** Backbones of one log hear each other's signals. */
  readonly wire = new Wire();
  readonly #clock: Clock;
  readonly #ids = new Map<string, Stored>();
  readonly #lastByTopic = new Map<string, number>();
  readonly #retained = new Map<string, Entry>();
  readonly #listeners = new Set<(entry: Entry) => void>();
  /** Where set, every publish is refused with it: the log is away or full. */
  refusal: PushfleetError | undefined;

  constructor(clock: Clock, shards: number, generation: string) {
    this.#clock = clock;
    this.generation = generation;
    this.shards = Array.from({ length: shards }, () => ({ entries: [], last: 0, purged: 0 }));
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
    const log = this.shards[shard] as ShardLog;
    const { keepMs: _, ...kept } = draft;
    const publication: Publication = { ...kept, time: this.#clock.now(), shard, sequence: ++log.last };
    const key = `${namespace} ${draft.topic}`;
    const entry = { namespace, publication, lastSequence: this.#lastByTopic.get(key) ?? 0 };
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

  retained(): Iterable<Entry> {
    return this.#retained.values();
  }

  /** Takes out everything up to `sequence`, as retention does. */
  purge(shard: number, sequence: number): void {
    const log = this.shards[shard] as ShardLog;
    log.purged = Math.max(log.purged, Math.min(sequence, log.last));
    log.entries = log.entries.filter(({ publication }) => publication.sequence > log.purged);
  }
}
