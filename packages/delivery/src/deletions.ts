import type { Ledger } from '@pushfleet/bus';
import type { Namespace, Publication } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import { decodeJson } from './job.ts';

/** What was deleted of a topic: sequences of a shard, both ends included. */
interface Range {
  readonly shard: number;
  readonly first: number;
  readonly last: number;
}

/** What was taken out of the log lately, so that it is not delivered any more either. */
export class Deletions {
  readonly #ledger: Ledger;
  readonly #log: Log;
  readonly #byTopic = new Map<string, readonly Range[]>();
  #watch: { stop(): void } | undefined;

  constructor(ledger: Ledger, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
  }

  /** Resolves once all that was deleted before is known. */
  async start(): Promise<void> {
    this.#watch = await this.#ledger.watch(({ key, value }) => {
      if (value === undefined) this.#byTopic.delete(key);
      else this.#byTopic.set(key, this.#read(key, value));
    });
  }

  close(): void {
    this.#watch?.stop();
  }

  has(namespace: Namespace, { topic, shard, sequence }: Publication): boolean {
    if (this.#byTopic.size === 0) return false;
    const ranges = this.#byTopic.get(`${namespace}/${topic}`) ?? [];
    return ranges.some((range) => range.shard === shard && range.first <= sequence && sequence <= range.last);
  }

  #read(key: string, value: Uint8Array): readonly Range[] {
    try {
      return decodeJson<Range[]>(value);
    } catch (error) {
      this.#log.error({ err: error, key }, 'a record of deletions cannot be read');
      return [];
    }
  }
}
