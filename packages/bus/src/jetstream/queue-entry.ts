import type { Taken } from '../queue.ts';

/** How a consumer is answered (nats-server, consumer.go). */
export const verdicts = { done: '', back: '-NAK', extend: '+WPI' } as const;

/** What an entry needs of the slot that handed it out. */
export interface Hands {
  /** Tells the broker. */
  answer(reply: string, verdict: string): void;
  /** The hand is free; false where it was before. */
  release(entry: HeldEntry): boolean;
  /** Lets it begin another term; false where it is in hand no more. */
  renew(entry: HeldEntry): boolean;
}

/** An entry as a consumer delivered it. All that is told of it stands in the subject that answers go to. */
export class HeldEntry implements Taken {
  readonly body: Uint8Array;
  /** When the broker may hand it out again, by this machine's clock: Unix time in milliseconds. */
  endsAt: number;
  readonly #hands: Hands;
  readonly #reply: string;
  #done = false;

  constructor(hands: Hands, reply: string, body: Uint8Array, endsAt: number) {
    this.#hands = hands;
    this.#reply = reply;
    this.body = body;
    this.endsAt = endsAt;
  }

  get time(): number {
    return deliveryOf(this.#reply).time;
  }

  get again(): boolean {
    return deliveryOf(this.#reply).count > 1;
  }

  get first(): boolean {
    return deliveryOf(this.#reply).number === 1;
  }

  done(): void {
    if (this.#done) return;
    this.#done = true;
    this.#hands.release(this);
    this.#hands.answer(this.#reply, verdicts.done); // also after its term: it need not come again then
  }

  back(): void {
    if (this.#hands.release(this)) this.#hands.answer(this.#reply, verdicts.back);
  }

  extend(): void {
    if (this.#hands.renew(this)) this.#hands.answer(this.#reply, verdicts.extend);
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>`, or with
 * `<domain>.<account hash>` behind `ACK` and a token at the end (nats-server ADR-15). The time is in nanoseconds.
 */
export function deliveryOf(reply: string): {
  readonly time: number;
  /** Of its stream. */
  readonly sequence: number;
  /** How often this entry was delivered. */
  readonly count: number;
  /** Counts all deliveries of the slot. */
  readonly number: number;
} {
  const tokens = reply.split('.');
  const shift = tokens.length > 9 ? 2 : 0;
  const [count, sequence, number] = tokens.slice(4 + shift).map(Number) as [number, number, number];
  return { count, sequence, number, time: Number(tokens[7 + shift]?.slice(0, -6)) };
}
