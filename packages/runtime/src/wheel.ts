/**
 * Many timers behind one interval: arming and cancelling cost a map operation, and nothing runs while no timer
 * is armed. A timer fires at its time or up to one tick later, never earlier.
 */
export class TimerWheel {
  constructor(_options: { readonly tickMs?: number; readonly now?: () => number } = {}) {
    throw new Error('not yet');
  }

  /** Calls `fire` once after `ms` milliseconds (any length); returns how to cancel, harmless to call twice. */
  after(_ms: number, _fire: () => void): () => void {
    throw new Error('not yet');
  }

  /** Timers armed. */
  get size(): number {
    throw new Error('not yet');
  }

  /** Cancels every timer. */
  close(): void {
    throw new Error('not yet');
  }
}
