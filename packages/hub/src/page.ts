import type { Item, Publication } from '@pushfleet/core';
import { Envelope, gapParcel, type Parcel } from './delivery.ts';
import type { FilterSet } from './filter-set.ts';
import { Mark } from './mark.ts';

/** A part of the log, read once for everybody who needs it. */
export interface Page {
  /** From where the log was asked to read. */
  readonly after: Mark;
  /** Where it began, where that was told: behind `after` in the shards that it does not trust there. */
  readonly start: Mark | undefined;
  readonly parcels: readonly Parcel[];
  readonly bytes: number;
  /** All that matches and lies between the beginning and this place is in the page. */
  readonly reached: Mark;
}

/** A page in the making. */
export class PageBuilder {
  readonly #set: FilterSet;
  readonly #after: Mark;
  readonly #until: Mark;
  readonly #parcels: Parcel[] = [];
  #start: Mark | undefined;
  #reached: Mark;
  #bytes = 0;

  /** @param until how far the log is read */
  constructor(set: FilterSet, after: Mark, until: Mark) {
    this.#set = set;
    this.#after = after;
    this.#until = until;
    this.#reached = after;
  }

  get count(): number {
    return this.#parcels.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The log says where it begins. */
  begin(start: Mark): void {
    this.#start = start;
    this.#reached = this.#after.restarted(this.#after, start);
  }

  /** Adds what the log gave: shard after shard, in each of them ascending sequences. */
  add(items: readonly Item<Publication>[]): void {
    for (const item of items) {
      const parcel =
        item.kind === 'gap' ? this.#gap(item.from, Mark.parse(item.to)) : this.#publication(item.value);
      if (parcel === undefined) continue;
      this.#parcels.push(parcel);
      this.#bytes += parcel.bytes;
    }
  }

  /** @param whole whether the log was read to the end */
  build(whole: boolean): Page {
    const reached = whole ? this.#reached.readTo(this.#until) : this.#reached;
    return { after: this.#after, start: this.#start, parcels: this.#parcels, bytes: this.#bytes, reached };
  }

  #gap(from: Mark['cursor'], to: Mark): Parcel {
    this.#reached = this.#reached.pastGap(to);
    return gapParcel(from, this.#reached);
  }

  #publication(publication: Publication): Parcel | undefined {
    this.#reached = this.#reached.past(publication, this.#until);
    return new Envelope(publication, this.#reached).parcelFor(this.#set);
  }
}
