import type { Clock } from '../clock.ts';
import type { Taken } from '../queue.ts';
import type { QueueTerms } from '../queue-rules.ts';

interface Entry {
  readonly body: Uint8Array;
  readonly time: number;
  again: boolean;
  /** Names the hands it is in; each new hands are another object. */
  hold: object | undefined;
}

/** Whoever asks for the entries of a slot. */
export interface Owner {
  readonly most: number;
  readonly on: (taken: Taken) => void;
  readonly onLost: () => void;
  /** How many entries it has in hand. */
  held: number;
  /** Whether its process reaches the broker at this moment. */
  reachable(): boolean;
}

/** The entries of one slot and those that ask for them, of whom one is served. */
export class Slot {
  readonly #clock: Clock;
  readonly #terms: QueueTerms;
  readonly #fresh = new Set<Entry>();
  /** Was in hand before and goes first, as with JetStream. */
  readonly #returned = new Set<Entry>();
  /** The first is served, the others wait. */
  readonly #owners = new Set<Owner>();
  #soon = false;
  #served = false;

  constructor(clock: Clock, terms: QueueTerms) {
    this.#clock = clock;
    this.#terms = terms;
  }

  add(body: Uint8Array): void {
    this.#fresh.add({ body, time: this.#clock.now(), again: false, hold: undefined });
    this.wake();
  }

  join(owner: Owner): void {
    this.#owners.add(owner);
    this.wake();
  }

  leave(owner: Owner): void {
    this.#owners.delete(owner);
    this.wake();
  }

  /** Its process was lost: unless it comes back in time, the slot passes on, and it has to join again. */
  miss(owner: Owner): void {
    this.#clock.after(this.#terms.silenceMs, () => {
      if (owner.reachable()) return;
      this.leave(owner);
      // Its own clock tells it, wherever the broker is.
      owner.onLost();
    });
  }

  /** Hands out in a turn of its own, so that no `on` runs inside a call of its owner's. */
  wake(): void {
    if (this.#soon) return;
    this.#soon = true;
    this.#clock.after(0, () => {
      this.#soon = false;
      const [owner] = this.#owners;
      if (owner?.reachable()) this.#serve(owner);
    });
  }

  #serve(owner: Owner): void {
    while (owner.held < owner.most && this.#owners.has(owner)) {
      const [entry] = this.#returned.size > 0 ? this.#returned : this.#fresh;
      if (entry === undefined) return;
      this.#returned.delete(entry);
      this.#fresh.delete(entry);
      this.#give(owner, entry);
    }
  }

  #give(owner: Owner, entry: Entry): void {
    const hold = {};
    let cancel: (() => void) | undefined;
    const open = () => {
      cancel?.();
      if (cancel === undefined) return false;
      cancel = undefined;
      owner.held--;
      this.wake();
      return true;
    };
    const lapse = () => {
      if (open()) this.#return(entry, hold);
    };
    cancel = this.#clock.after(this.#terms.termMs, lapse);
    entry.hold = hold;
    owner.held++;
    const first = !this.#served;
    this.#served = true;
    owner.on({
      body: entry.body,
      time: entry.time,
      again: entry.again,
      first,
      done: () => {
        // What an unreachable owner says is lost, and the broker lets its term end.
        if (!owner.reachable()) return;
        open();
        this.#returned.delete(entry);
        entry.hold = undefined;
      },
      back: () => {
        if (owner.reachable() && open()) this.#return(entry, hold);
      },
      extend: () => {
        if (cancel === undefined || !owner.reachable()) return;
        cancel();
        cancel = this.#clock.after(this.#terms.termMs, lapse);
      },
    });
  }

  #return(entry: Entry, hold: object): void {
    if (entry.hold !== hold) return;
    entry.hold = undefined;
    entry.again = true;
    this.#returned.add(entry);
    this.wake();
  }
}
