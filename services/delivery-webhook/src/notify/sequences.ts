import type { Ledger } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import { type SubscriptionRef, shortHash } from '@pushfleet/delivery';

/** UPnP Device Architecture 1.1, section 4.1.1: behind this comes 1, since 0 is that of the first notification alone. */
const last = 4_294_967_295;
/** A subscription without a delivery for so long begins anew, which its receiver takes for a loss, in milliseconds. */
const keptMs = 30 * 86_400_000;
/** How often it is tried again where another worker counts at the same moment. */
const mostTries = 8;

/**
 * So many deliveries behind the newest keep their number: a worker that stood still while another took its place makes
 * an old attempt once more before it hears of that.
 */
const remembered = 128;
/** Characters that tell one of them from another: 48 bits. */
const markLength = 8;

/** What the ledger holds of one subscription. */
interface Count {
  /** The newest number that was given. */
  readonly given: number;
  /** The marks of the deliveries that have the last numbers, one behind the other; the last has `given`. */
  readonly marks: string;
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
   * The number of a delivery. Deliveries of one subscription come one after the other, and tests in between.
   *
   * @param delivery names it, the same at every attempt
   * @throws PushfleetError `unavailable`
   */
  async of({ namespace, id }: SubscriptionRef, delivery: string): Promise<number> {
    const key = `${namespace}/${id}`;
    const mark = shortHash(delivery).slice(0, markLength);
    for (let left = mostTries; ; left--) {
      const held = await this.#ledger.get(key);
      const count = held === undefined ? none : decode(held.value);
      const before = numberOf(mark, count);
      if (before !== undefined) return before;
      const given = count.given === last ? 1 : count.given + 1;
      const marks = (count.marks + mark).slice(-remembered * markLength);
      try {
        await this.#ledger.put(key, encode({ given, marks }), {
          ifRevision: held?.revision ?? 0,
          ttlMs: keptMs,
        });
        return given;
      } catch (error) {
        if (!(error instanceof PushfleetError && error.code === 'conflict') || left <= 1) throw error;
      }
    }
  }
}

function numberOf(mark: string, { given, marks }: Count): number | undefined {
  for (let end = marks.length, number = given; end > 0; end -= markLength, number--) {
    if (marks.slice(end - markLength, end) === mark) return number < 1 ? number + last : number;
  }
  return undefined;
}

const none: Count = { given: 0, marks: '' };

const encode = (count: Count): Uint8Array => Buffer.from(JSON.stringify(count));
const decode = (value: Uint8Array): Count => JSON.parse(Buffer.from(value).toString()) as Count;
