/** Time, and what is to happen after some of it. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** @returns a function that cancels it */
  after(ms: number, run: () => void): () => void;
}

// setTimeout takes 31 bits of milliseconds, and runs at once what is further away.
const furthest = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, furthest));
    return () => clearTimeout(timer);
  },
};
