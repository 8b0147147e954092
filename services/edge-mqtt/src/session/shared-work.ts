import type { Lent, Publication } from '@pushfleet/core';
import type { Delivery } from '@pushfleet/hub';

/** What a group has to give: the log keeps it for the group until one of its members has done it. */
export interface Work {
  readonly publication: Publication;
  /** The result of `encoder`, computed once however many are asked whether it fits. */
  encoded<T>(encoder: (one: Pick<Delivery, 'publication'>) => T): T;
  /** It is nobody else's any more. */
  done(): void;
  /** Another member has it, of whatever instance. */
  back(): void;
}

export class SharedWork implements Work {
  readonly #lent: Lent;
  readonly #onSettled: () => void;
  readonly #encoded = new Map<unknown, unknown>();
  #settled = false;

  constructor(lent: Lent, onSettled: () => void) {
    this.#lent = lent;
    this.#onSettled = onSettled;
  }

  get publication(): Publication {
    return this.#lent.publication;
  }

  encoded<T>(encoder: (one: Pick<Delivery, 'publication'>) => T): T {
    if (!this.#encoded.has(encoder)) this.#encoded.set(encoder, encoder(this));
    return this.#encoded.get(encoder) as T;
  }

  done(): void {
    this.#settle('done');
  }

  back(): void {
    this.#settle('back');
  }

  #settle(how: 'done' | 'back'): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#lent[how]();
    this.#onSettled();
  }
}

/** What a member was given in one go, but for what waits for its PUBACK. */
export class Hand {
  readonly #passing: Work[] = [];
  readonly #recorded: Work[] = [];

  /** It is its client's once it is written. */
  passes(work: Work): void {
    this.#passing.push(work);
  }

  /** It is its session's once that has it on record ([MQTT-4.8.2-4], [MQTT-4.8.2-5]). */
  isRecorded(work: Work): void {
    this.#recorded.push(work);
  }

  onRecord(): void {
    for (const work of this.#recorded) work.done();
  }

  written(): void {
    for (const work of this.#passing) work.done();
  }

  /** What was neither recorded nor written goes to others. */
  over(): void {
    for (const work of [...this.#passing, ...this.#recorded]) work.back();
  }
}
