interface Entry {
  readonly due: number;
  readonly fire: () => void;
}

/**
 * Many timers behind one interval: arming and cancelling cost a set operation, and no interval runs while no
 * timer is armed. A timer fires at its time or up to one tick late, never early. The interval keeps no process
 * alive.
 */
export class TimerWheel {
  readonly #tickMs: number;
  readonly #now: () => number;
  // One slot per tick of a turn; a timer further away stays in its slot for as many turns as it needs.
  readonly #slots: readonly Set<Entry>[];
  #interval: NodeJS.Timeout | undefined;
  /** The number of the last tick whose slot was looked through. */
  #tick = 0;
  #size = 0;

  constructor(
    options: { readonly tickMs?: number; readonly slots?: number; readonly now?: () => number } = {},
  ) {
    this.#tickMs = options.tickMs ?? 100;
    this.#now = options.now ?? (() => performance.now());
    this.#slots = Array.from({ length: options.slots ?? 512 }, () => new Set<Entry>());
  }

  /** Calls `fire` once after `ms` milliseconds (any length); returns how to cancel, harmless to call twice. */
  after(ms: number, fire: () => void): () => void {
    if (this.#interval === undefined) this.#run();
    const entry = { due: this.#now() + Math.max(0, ms), fire };
    // The slot of the first tick at or after `due`, and never one that was looked through already.
    const slot = this.#slot(Math.max(Math.ceil(entry.due / this.#tickMs), this.#tick + 1));
    slot.add(entry);
    this.#size++;
    return () => this.#remove(slot, entry);
  }

  /** Timers armed. */
  get size(): number {
    return this.#size;
  }

  /** Cancels every timer. */
  close(): void {
    for (const slot of this.#slots) slot.clear();
    this.#size = 0;
    this.#rest();
  }

  #slot(tick: number): Set<Entry> {
    return this.#slots[tick % this.#slots.length] as Set<Entry>;
  }

  #remove(slot: Set<Entry>, entry: Entry): void {
    if (!slot.delete(entry)) return;
    this.#size--;
    if (this.#size === 0) this.#rest();
  }

  #run(): void {
    this.#tick = Math.floor(this.#now() / this.#tickMs);
    this.#interval = setInterval(() => this.#turn(), this.#tickMs);
    this.#interval.unref();
  }

  #rest(): void {
    clearInterval(this.#interval);
    this.#interval = undefined;
  }

  #turn(): void {
    const now = this.#now();
    const last = Math.floor(now / this.#tickMs);
    // After a stall longer than a turn every slot is looked through once.
    const first = Math.max(this.#tick + 1, last - this.#slots.length + 1);
    for (let tick = first; tick <= last; tick++) this.#fire(this.#slot(tick), now);
    this.#tick = last;
  }

  #fire(slot: Set<Entry>, now: number): void {
    // A timer that throws must not take the others of its tick with it: they are out of the set before they run,
    // so the error surfaces from the interval and the rest runs at the next tick.
    for (const entry of slot) {
      if (entry.due > now) continue;
      this.#remove(slot, entry);
      entry.fire();
    }
  }
}
