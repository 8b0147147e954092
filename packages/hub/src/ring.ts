import type { Publication } from '@pushfleet/core';
import { Envelope, type GapParcel } from './delivery.ts';
import { Mark } from './mark.ts';

/** What the bus handed over: a publication, or the news of a gap. */
export type Recent = Envelope | GapParcel;

/** A publication that came after later ones of its shard, and the number of its entry. */
export interface LateEntry {
  readonly entry: number;
  readonly envelope: Envelope;
}

/** Publications of a shard that came late, one after the other. */
interface Loss {
  readonly shard: number;
  /** Of the first in the log. */
  sequence: number;
  /** When the first was stored, and up to when cursors may have skipped some of them. Unix milliseconds. */
  readonly since: number;
  until: number;
}

// The bus may give a publication after others with later sequences: it had been lost on the way. A cursor given
// in between can have skipped it, and so can one of another instance, of this time or somewhat later.
const doubtMs = 10_000;
/** What comes late for longer counts as another loss, so that nobody goes back further for what came last. */
const lossMs = 60_000;
const mostLosses = 64;

/**
 * The recent publications of a namespace in the order they were handed over, so that who comes back soon is
 * served from memory. It holds every publication handed over that lies after `#start`.
 */
export class Ring {
  readonly #most: { readonly count: number; readonly bytes: number };
  #entries: (Recent | undefined)[] = [];
  #first = 0;
  #end = 0;
  #bytes = 0;
  readonly #start: number[] = [];
  #late: LateEntry[] = [];
  #doubtUntil = 0;
  #losses: Loss[] = [];

  constructor(most: { readonly count: number; readonly bytes: number }) {
    this.#most = most;
  }

  /** Number of the oldest entry held. */
  get first(): number {
    return this.#first;
  }

  /** Number the next entry will get. */
  get end(): number {
    return this.#end;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#end - this.#first;
  }

  /** The entries held that came late. */
  get late(): readonly LateEntry[] {
    return this.#late;
  }

  add(entry: Recent, late = false): void {
    if (late && entry instanceof Envelope) this.#late.push({ entry: this.#end, envelope: entry });
    if (this.count === this.#entries.length) this.#grow();
    this.#entries[this.#end++ & (this.#entries.length - 1)] = entry;
    this.#bytes += entry.bytes;
    while (this.count > this.#most.count || this.#bytes > this.#most.bytes) this.#evict();
  }

  /** The entry with this number, from `first` up to but not including `end`. */
  get(number: number): Recent {
    return this.#entries[number & (this.#entries.length - 1)] as Recent;
  }

  /** Lets go of everything: who comes back is served from the log. */
  clear(): void {
    while (this.count > 0) this.#evict();
  }

  /** The publications held, the oldest first. */
  *envelopes(): Iterable<Envelope> {
    for (let number = this.#first; number < this.#end; number++) {
      const entry = this.get(number);
      if (entry instanceof Envelope) yield entry;
    }
  }

  /** Says that `late` came after later ones: cursors of this time are not taken at their word for a while. */
  doubt(late: Publication, mark: Mark): void {
    const { shard, sequence, time: since } = late;
    const until = Math.max(since, mark.time) + doubtMs;
    this.#doubtUntil = Math.max(this.#doubtUntil, until);
    const last = this.#losses.findLast((loss) => loss.shard === shard);
    if (last === undefined || mark.time > last.until || since > last.since + lossMs) {
      this.#losses.push({ shard, sequence, since, until });
      if (this.#losses.length > mostLosses) this.#losses.shift();
    } else {
      last.sequence = Math.min(last.sequence, sequence);
      last.until = Math.max(last.until, until);
    }
  }

  /** Whether a cursor may have been given while something was missing. */
  isDoubtful(place: Mark): boolean {
    return !place.read && place.time < this.#doubtUntil;
  }

  /** This place, moved back before what came late and it may have skipped. */
  beforeLosses(place: Mark): Mark {
    if (!this.isDoubtful(place)) return place;
    const positions = place.positions.slice();
    for (const { shard, sequence, until } of this.#losses) {
      const position = positions[shard] ?? 0;
      if (place.time < until && position >= sequence) positions[shard] = sequence - 1;
    }
    const moved = positions.some((position, shard) => position !== place.positions[shard]);
    return moved ? new Mark(place.generation, positions, place.time) : place;
  }

  /** Whether all that was handed over after `place` is here. */
  holds(place: Mark): boolean {
    return place.complete && this.#start.every((position, shard) => place.at(shard) >= position);
  }

  #evict(): void {
    if (this.#late[0]?.entry === this.#first) this.#late.shift();
    const slot = this.#first++ & (this.#entries.length - 1);
    const entry = this.#entries[slot] as Recent;
    this.#entries[slot] = undefined;
    this.#bytes -= entry.bytes;
    if (entry instanceof Envelope) this.#passed(entry.publication.shard, entry.publication.sequence);
    else
      for (let shard = 0; shard < entry.mark.positions.length; shard++)
        this.#passed(shard, entry.mark.at(shard));
  }

  #passed(shard: number, sequence: number): void {
    while (this.#start.length <= shard) this.#start.push(0);
    this.#start[shard] = Math.max(this.#start[shard] ?? 0, sequence);
  }

  #grow(): void {
    const old = this.#entries;
    const size = Math.max(64, old.length * 2);
    this.#entries = new Array(size);
    for (let i = this.#first; i < this.#end; i++) this.#entries[i & (size - 1)] = old[i & (old.length - 1)];
  }
}
