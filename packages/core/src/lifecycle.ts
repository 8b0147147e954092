/** A part that is started once, asked to finish its work, and closed. */
export interface Lifecycle {
  start(): Promise<void>;
  /** Refuses new work and finishes what was accepted, until `deadline` is aborted. */
  drain(deadline: AbortSignal): Promise<void>;
  /** Lets go of every resource; safe to call twice and without a drain. */
  close(): Promise<void>;
}
