/** What can be tuned; the defaults are those of `defaultLimits`. */
export interface Limits {
  /** Most messages held for one slow subscription. */
  readonly buffer: number;
  /** Most publications that wait for their answer, and their most bytes. */
  readonly queueCount: number;
  readonly queueBytes: number;
  /** How long a publication is tried, in milliseconds: below half the fleet's duplicate window (2 minutes by default). */
  readonly patienceMs: number;
  /** How long a way to the fleet may take until something arrives over it, in milliseconds. */
  readonly openMs: number;
  /** At least so many messages are remembered by each subscription, so that none is given twice. */
  readonly remembered: number;
}

export const defaultLimits: Limits = {
  buffer: 1_000,
  queueCount: 1_000,
  queueBytes: 4_194_304,
  patienceMs: 50_000,
  openMs: 5_000,
  remembered: 10_000,
};
