import type { Clock } from '@pushfleet/bus';

/** A seeded generator: the same seed gives the same run, so that a failure replays (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 up to but not including 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number from 0 up to but not including `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Time that moves only when `advance` is called, and then as fast as the events of that stretch can run. */
export class SimulatedClock implements Clock {
  #now = 1_800_000_000_000;
  #order = 0;
  /** A binary heap by time, then by the order of the calls. */
  readonly #timers: Timer[] = [];
  readonly #cancelled = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, order: this.#order++, run };
    this.#push(timer);
    return () => this.#cancelled.add(timer);
  }

  /** Runs every event of the next `ms` milliseconds, with all the promises each of them settles. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (let next = this.#timers[0]; next !== undefined && next.at <= end; next = this.#timers[0]) {
      this.#pop();
      if (this.#cancelled.delete(next)) continue;
      this.#now = next.at;
      next.run();
      await settled();
    }
    this.#now = end;
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let index = heap.push(timer) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(timer, heap[parent] as Timer)) break;
      heap[index] = heap[parent] as Timer;
      index = parent;
    }
    heap[index] = timer;
  }

  #pop(): void {
    const heap = this.#timers;
    const last = heap.pop() as Timer;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child++;
      if (!before(heap[child] as Timer, last)) break;
      heap[index] = heap[child] as Timer;
      index = child;
    }
    heap[index] = last;
  }
}

const before = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Runs `scenario` for many seeds and stops at the first that fails, naming it. `PUSHFLEET_SEED` replays one,
 * `PUSHFLEET_SEEDS` sets how many are run.
 */
export async function forSeeds(
  count: number,
  scenario: (random: Random, seed: number) => Promise<void>,
): Promise<void> {
  const only = process.env.PUSHFLEET_SEED;
  const seeds = only === undefined ? Number(process.env.PUSHFLEET_SEEDS ?? count) : 1;
  for (let i = 0; i < seeds; i++) {
    const seed = only === undefined ? i : Number(only);
    try {
      await scenario(new Random(seed), seed);
    } catch (error) {
      throw new Error(`seed ${seed} fails; PUSHFLEET_SEED=${seed} replays it`, { cause: error });
    }
  }
}
