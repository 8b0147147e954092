import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Queue } from '@pushfleet/bus';
import { encodeJob, type Job } from './job.ts';
import type { LaneBook } from './lane-book.ts';
import { type Patiently, unlessStopped } from './patience.ts';

/** How often a new owner of a slot asks whether it has passed on yet, in milliseconds. */
const knockMs = 1_000;

export interface TenancyOptions {
  readonly queue: Queue;
  readonly lanes: Pick<LaneBook, 'enter' | 'find' | 'quit' | 'setLeaving'>;
  readonly patiently: Patiently;
}

/**
 * When what lies on the shelves of a slot may be delivered here. That an instance should own the slot does not mean
 * that the one before has left it: only the queue knows who does. And an owner that was held up may learn late that it
 * is one no more. So the shelves are left alone until the queue has handed something out here, and then until the one
 * before has said that it left, or has had the time to learn of it.
 */
export class Tenancy {
  readonly #slot: number;
  readonly #o: TenancyOptions;
  #state: 'knocking' | 'waiting' | 'in' | 'over' = 'knocking';
  #timer: NodeJS.Timeout | undefined;
  #stopKnocking = new AbortController();

  constructor(slot: number, options: TenancyOptions) {
    this.#slot = slot;
    this.#o = options;
    void this.#knock();
  }

  /** The queue has handed something out here since it was lost, or ever. */
  get known(): boolean {
    return this.#state !== 'knocking';
  }

  /** The queue has handed something out here. @param first nothing of the slot was ever handed out before */
  served(first: boolean): void {
    this.#state = 'waiting';
    this.#stopKnocking.abort();
    if (first) this.vacated();
    else this.#timer = setTimeout(() => this.vacated(), this.#o.queue.lapseMs).unref();
  }

  /** Nobody else delivers from the slot's shelves any more. */
  vacated(): void {
    if (this.#state !== 'waiting') return;
    clearTimeout(this.#timer);
    this.#state = 'in';
    this.#look(() => this.#o.lanes.enter(this.#slot));
  }

  /** The slot may have passed on to another. */
  lost(): void {
    if (this.#state === 'over' || !this.known) return;
    clearTimeout(this.#timer);
    this.#state = 'knocking';
    this.#o.lanes.quit(this.#slot);
    this.#stopKnocking = new AbortController();
    void this.#knock();
  }

  /** Looks for what nobody has told of. */
  audit(): void {
    if (this.#state === 'in') this.#look(() => this.#o.lanes.find(this.#slot));
  }

  /**
   * The slot is given back.
   *
   * @param clean nothing of it is on its way, and all of it is on record: its next owner need not wait
   */
  async end(clean: boolean): Promise<void> {
    const { lanes } = this.#o;
    const wasIn = this.#state === 'in';
    this.#state = 'over';
    clearTimeout(this.#timer);
    this.#stopKnocking.abort();
    lanes.quit(this.#slot);
    lanes.setLeaving(this.#slot, false);
    if (wasIn && clean) await this.#put('the leaving of a slot', { kind: 'left' });
  }

  /** Where there is nothing in the slot, an entry is put, so that its owner is known. */
  async #knock(): Promise<void> {
    const { signal } = this.#stopKnocking;
    while (!signal.aborted) {
      await this.#put('a knock at a slot', { kind: 'knock' });
      await sleep(knockMs, undefined, { signal }).catch(() => {});
    }
  }

  async #put(what: string, job: Job): Promise<void> {
    const entry = { slot: this.#slot, id: randomUUID(), body: encodeJob(job) };
    await this.#o.patiently(what, () => this.#o.queue.put([entry])).catch(unlessStopped);
  }

  #look(run: () => Promise<void>): void {
    void this.#o.patiently('the lanes of a slot', run).catch(unlessStopped);
  }
}
