import type { Ledger } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import type { SubscriptionRef } from '@pushfleet/delivery';

/** UPnP Device Architecture 1.1, section 4.1.1: behind this comes 1, since 0 is that of the first notification alone. */
const last = 4_294_967_295;
/** A subscription without a delivery for so long begins anew, which its receiver takes for a loss, in milliseconds. */
const keptMs = 30 * 86_400_000;
/** How often it is tried again where another worker counts at the same moment. */
const mostTries = 8;

/** What the ledger holds of one subscription. */
interface Count {
  /** The newest number that was given. */
  readonly given: number;
  /** The delivery that is under way, and its number. */
  readonly delivery: string;
  readonly number: number;
}

/**
 * Numbers the notifications of each subscription: SEQ of GENA. A delivery has the same number at every attempt, whichever
 * worker makes it, so a number that its receiver misses is one that it was never given.
 */
export class Sequences {
  readonly #ledger: Ledger;

  /** @param ledger `sequences` */
  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /**
   * The number of a delivery. Deliveries of one subscription come one after the other.
   *
   * @param aside it is none of those, but a call in between: a test
   * @throws PushfleetError `unavailable`
   */
  async of({ namespace, id }: SubscriptionRef, delivery: string, aside = false): Promise<number> {
    const key = `${namespace}/${id}`;
    for (let left = mostTries; ; left--) {
      const held = await this.#ledger.get(key);
      const count = held === undefined ? none : decode(held.value);
      if (count.delivery === delivery) return count.number;
      const number = count.given === last ? 1 : count.given + 1;
      const next = aside ? { ...count, given: number } : { given: number, delivery, number };
      try {
        await this.#ledger.put(key, encode(next), { ifRevision: held?.revision ?? 0, ttlMs: keptMs });
        return number;
      } catch (error) {
        if (!(error instanceof PushfleetError && error.code === 'conflict') || left <= 1) throw error;
      }
    }
  }
}

const none: Count = { given: 0, delivery: '', number: 0 };

const encode = (count: Count): Uint8Array => Buffer.from(JSON.stringify(count));
const decode = (value: Uint8Array): Count => JSON.parse(Buffer.from(value).toString()) as Count;
