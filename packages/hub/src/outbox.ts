import type { Parcel } from './delivery.ts';

const smallest = 8;
/** An emptied queue longer than this is let go: most feeds are idle, and a burst would be remembered for ever. */
const largestKept = 64;

/** A feed's bounded queue. It only counts; what happens when it is full is the feed's decision. */
export class Outbox {
  readonly #mostCount: number;
  readonly #mostBytes: number;
  /** A circle whose size is a power of two. */
  #slots: (Parcel | undefined)[] = [];
  #head = 0;
  #count = 0;
  #bytes = 0;
  /** One item per topic in the order of arrival, once the feed conflates; it holds everything then. */
  #latest: Map<string, Parcel> | undefined;
  #gaps = 0;

  constructor(count: number, bytes: number) {
    this.#mostCount = count;
    this.#mostBytes = bytes;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether one more item of this size fits; into an empty outbox any item does. */
  fits(bytes: number): boolean {
    return (this.#count < this.#mostCount && this.#bytes + bytes <= this.#mostBytes) || this.#count === 0;
  }

  /** Whether it holds more than it may, which conflation could not mend. */
  get exceeds(): boolean {
    return this.#count > 1 && (this.#count > this.#mostCount || this.#bytes > this.#mostBytes);
  }

  /** Whether it is at most half full: a replay leaves the other half to what comes live. */
  get roomy(): boolean {
    return this.#count === 0 || (this.#count < this.#mostCount / 2 && this.#bytes < this.#mostBytes / 2);
  }

  push(parcel: Parcel): void {
    this.#bytes += parcel.bytes;
    if (this.#latest !== undefined) {
      this.#conflate(this.#latest, parcel);
      return;
    }
    if (this.#count === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#count++) & (this.#slots.length - 1)] = parcel;
  }

  peek(): Parcel | undefined {
    if (this.#latest !== undefined) return this.#latest.values().next().value;
    return this.#count === 0 ? undefined : this.#slots[this.#head];
  }

  /** Takes the oldest item out; there has to be one. */
  shift(): Parcel {
    const parcel = this.#latest === undefined ? this.#shiftSlot() : this.#shiftLatest(this.#latest);
    this.#bytes -= parcel.bytes;
    if (this.#count === 0 && (this.#latest !== undefined || this.#slots.length > largestKept)) this.clear();
    return parcel;
  }

  /** Keeps the newest item of every topic from here on, until it is empty. */
  conflate(): void {
    if (this.#latest !== undefined) return;
    const parcels = this.parcels();
    this.clear();
    const latest = new Map<string, Parcel>();
    this.#latest = latest;
    for (const parcel of parcels) {
      this.#bytes += parcel.bytes;
      this.#conflate(latest, parcel);
    }
  }

  /** Puts `change`'s answer in the place of every item. */
  rewrite(change: (parcel: Parcel) => Parcel): void {
    if (this.#latest !== undefined) {
      for (const [key, parcel] of this.#latest) this.#latest.set(key, change(parcel));
      return;
    }
    const mask = this.#slots.length - 1;
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#head + i) & mask;
      this.#slots[slot] = change(this.#slots[slot] as Parcel);
    }
  }

  clear(): void {
    if (this.#slots.length > largestKept) this.#slots = [];
    else if (this.#count > 0) this.#slots.fill(undefined);
    this.#latest = undefined;
    this.#head = this.#count = this.#bytes = 0;
  }

  /** A newer item of a topic goes to the end: before it stand items that its cursor leaves behind. */
  #conflate(latest: Map<string, Parcel>, parcel: Parcel): void {
    const key = parcel.kind === 'gap' ? `\0${this.#gaps++}` : parcel.value.publication.topic;
    const other = latest.get(key);
    if (other !== undefined && sequenceOf(other) > sequenceOf(parcel)) {
      this.#bytes -= parcel.bytes; // a replay came upon what a newer one replaces
      drop(parcel);
      return;
    }
    if (other !== undefined) {
      this.#bytes -= other.bytes;
      drop(other);
      latest.delete(key);
    }
    latest.set(key, parcel);
    this.#count = latest.size;
  }

  /** What it holds, the oldest first. */
  parcels(): Parcel[] {
    if (this.#latest !== undefined) return [...this.#latest.values()];
    const mask = this.#slots.length - 1;
    return Array.from({ length: this.#count }, (_, i) => this.#slots[(this.#head + i) & mask] as Parcel);
  }

  #shiftSlot(): Parcel {
    const parcel = this.#slots[this.#head] as Parcel;
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#count--;
    return parcel;
  }

  #shiftLatest(latest: Map<string, Parcel>): Parcel {
    const [key, parcel] = latest.entries().next().value as [string, Parcel];
    latest.delete(key);
    this.#count = latest.size;
    return parcel;
  }

  #grow(): void {
    const size = Math.max(smallest, this.#slots.length * 2);
    const parcels: (Parcel | undefined)[] = this.parcels();
    parcels.length = size;
    this.#slots = parcels;
    this.#head = 0;
  }
}

function drop(parcel: Parcel): void {
  if (parcel.kind === 'publication') parcel.tally.dropped++;
}

const sequenceOf = (parcel: Parcel): number =>
  parcel.kind === 'gap' ? 0 : parcel.value.publication.sequence;
