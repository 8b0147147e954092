/** How one transport brought one message. */
export interface Arrival {
  /** Unix time in milliseconds of the first time it came. */
  readonly at: number;
  /** How often it came; more than once would be a fault. */
  times: number;
  /** It was published while this transport was away. */
  readonly missed: boolean;
}

export interface Entry {
  /** Source and id: what makes a publication one and the same. */
  readonly key: string;
  readonly topic: string;
  readonly text: string;
  /** Unix time in milliseconds at which it was sent from this page; absent for messages of others. */
  readonly sent: number | undefined;
  /** Unix time in milliseconds at which the fleet stored it. */
  readonly stored: number | undefined;
  readonly arrivals: Map<string, Arrival>;
}

/** What is known of a message when it comes, or when it is sent. */
export interface Seen {
  readonly key: string;
  readonly topic: string;
  readonly text: string;
  readonly stored?: number;
}

/** Most messages that are remembered. */
const remembered = 1_000;

/** The messages that the page knows, and by which transports they came. */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  /** When each transport was last away, in Unix milliseconds; `to` is infinite while it still is. */
  readonly #away = new Map<string, { readonly from: number; to: number }>();

  /** Newest first. */
  get entries(): readonly Entry[] {
    return [...this.#entries.values()].reverse();
  }

  /** A message leaves this page at `now`. */
  sent(seen: Seen, now: number): Entry {
    return this.#keep({ ...seen, sent: now, stored: undefined, arrivals: new Map() });
  }

  /** It was refused: nothing will come. */
  forget(key: string): void {
    this.#entries.delete(key);
  }

  /** A transport is away from now on. */
  left(lane: string, now: number): void {
    if (!this.isAway(lane)) this.#away.set(lane, { from: now, to: Number.POSITIVE_INFINITY });
  }

  /** The transport is back: what was published meanwhile is yet to come. */
  returned(lane: string, now: number): void {
    const away = this.#away.get(lane);
    if (away !== undefined) away.to = Math.min(away.to, now);
  }

  isAway(lane: string): boolean {
    return this.#away.get(lane)?.to === Number.POSITIVE_INFINITY;
  }

  /** What comes by the transport at `now`. */
  arrived(lane: string, seen: Seen, now: number): Entry {
    const known = this.#entries.get(seen.key);
    const entry = known ?? this.#keep({ ...seen, sent: undefined, stored: seen.stored, arrivals: new Map() });
    const before = entry.arrivals.get(lane);
    if (before === undefined) {
      entry.arrivals.set(lane, { at: now, times: 1, missed: this.#missed(lane, entry) });
    } else {
      before.times++;
    }
    return entry;
  }

  #missed(lane: string, { sent, stored }: Entry): boolean {
    const away = this.#away.get(lane);
    const published = sent ?? stored;
    return away !== undefined && published !== undefined && published >= away.from && published <= away.to;
  }

  #keep(entry: Entry): Entry {
    this.#entries.set(entry.key, entry);
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= remembered) break;
      this.#entries.delete(key);
    }
    return entry;
  }
}
