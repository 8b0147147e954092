/** Time as the hub uses it, so that tests can move it. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** Calls `run` once after `ms` milliseconds; returns how to cancel it. */
  after(ms: number, run: () => void): () => void;
}

/** The machine's time; its timers keep no process alive. */
export const systemClock: Clock = {
  now: Date.now,
  after(ms, run) {
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  },
};
