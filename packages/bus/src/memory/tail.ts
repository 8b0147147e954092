import { formatCursor } from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import type { Ledger } from '../ledger.ts';
import type { Tail, Tailed } from '../tail.ts';
import { type Feed, parsePlace, type Stretch, type TailPlace, TailReading } from '../tail-reading.ts';
import type { Entry, MemoryLog } from './log.ts';
import type { MemorySource } from './source.ts';

const batchSize = 256;

/** A tail of the log in memory. It ends with its backbone; its places stay with the log. */
export class MemoryTail implements Tail {
  readonly #name: string;
  readonly #log: MemoryLog;
  readonly #source: MemorySource;
  readonly #clock: Clock;
  readonly #places: Pick<Ledger, 'get' | 'put'>;
  readonly #readings = new Set<TailReading>();

  constructor(name: string, log: MemoryLog, source: MemorySource, clock: Clock, places: Ledger) {
    this.#name = name;
    this.#log = log;
    this.#source = source;
    this.#clock = clock;
    this.#places = {
      get: (key) => source.turn().then(() => places.get(key)),
      put: (...args) => source.turn().then(() => places.put(...args)),
    };
  }

  get shards(): number {
    return this.#log.shards.length;
  }

  async read(
    shard: number,
    on: (batch: readonly Tailed[]) => Promise<void>,
  ): Promise<{ stop(): Promise<void> }> {
    const reading = new TailReading({
      ledger: this.#places,
      key: this.#key(shard),
      clock: this.#clock,
      open: (place) => new MemoryFeed(this.#log, this.#source, this.#clock, shard, place),
      on,
      onTrouble: () => {},
    });
    this.#readings.add(reading);
    return {
      stop: () => {
        this.#readings.delete(reading);
        return reading.stop();
      },
    };
  }

  async behind(): Promise<number> {
    let count = 0;
    for (let shard = 0; shard < this.shards; shard++) {
      const held = await this.#places.get(this.#key(shard));
      const position = held === undefined ? 0 : parsePlace(held.value).position;
      count += this.#log.entries(shard).filter(({ publication }) => publication.sequence > position).length;
    }
    return count;
  }

  close(): void {
    for (const reading of this.#readings) reading.abandon();
  }

  #key(shard: number): string {
    return `${this.#name}/${this.#log.generation}/${shard}`;
  }
}

class MemoryFeed implements Feed {
  readonly #log: MemoryLog;
  readonly #source: MemorySource;
  readonly #clock: Clock;
  readonly #shard: number;
  readonly #unlisten: (() => void)[];
  #position: number;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(log: MemoryLog, source: MemorySource, clock: Clock, shard: number, place: TailPlace) {
    this.#log = log;
    this.#source = source;
    this.#clock = clock;
    this.#shard = shard;
    this.#position = place.position;
    const wake = () => this.#wake?.();
    this.#unlisten = [log.listen(wake), source.onReturn(wake)];
  }

  async next(): Promise<Stretch | undefined> {
    while (!this.#closed) {
      const found = this.#source.reachable ? this.#found() : [];
      const last = found.at(-1)?.publication;
      if (last !== undefined) {
        this.#position = last.sequence;
        return {
          batch: found.map((entry) => this.#tailed(entry)),
          place: { position: last.sequence, time: last.time },
        };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      // What is published in one go comes as one batch.
      await new Promise<void>((resolve) => this.#clock.after(0, resolve));
    }
    return undefined;
  }

  close(): void {
    this.#closed = true;
    for (const unlisten of this.#unlisten) unlisten();
    this.#wake?.();
  }

  #found(): readonly Entry[] {
    const entries = this.#log.entries(this.#shard);
    const first = entries.findIndex(({ publication }) => publication.sequence > this.#position);
    return first < 0 ? [] : entries.slice(first, first + batchSize);
  }

  #tailed({ namespace, publication }: Entry): Tailed {
    const positions = new Array<number | undefined>(this.#log.shards.length).fill(undefined);
    positions[this.#shard] = publication.sequence;
    const { generation } = this.#log;
    return {
      namespace,
      publication,
      cursor: formatCursor({ generation, positions, time: publication.time }),
    };
  }
}
