import type { Queue } from '@pushfleet/bus';
import { encodeJob } from './job.ts';
import type { Patiently } from './patience.ts';
import { nameOf, type SubscriptionRef, shortHash, slotOf } from './place.ts';

export interface FarewellsOptions {
  readonly queue: Queue;
  readonly patiently: Patiently;
}

/** Ends subscriptions whose receivers are told so: a job that stops one, has the courier say why, and ends it. */
export class Farewells {
  readonly #o: FarewellsOptions;

  constructor(options: FarewellsOptions) {
    this.#o = options;
  }

  /** Resolves once it is on record. By the record's revision: asked for twice, it is one job. */
  async bid(ref: SubscriptionRef, revision: bigint, reason: string): Promise<void> {
    const id = shortHash(`farewell\0${ref.namespace}/${ref.id}\0${revision}`);
    const job = { kind: 'call', ...nameOf(ref), why: 'farewell', delivery: id, attempts: 0, reason } as const;
    await this.#o.patiently('a farewell', () =>
      this.#o.queue.put([{ slot: slotOf(ref), id, body: encodeJob(job) }]),
    );
  }
}
