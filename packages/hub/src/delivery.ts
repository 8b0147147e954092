import type { Cursor, Item, Publication, TopicFilter } from '@pushfleet/core';
import type { FilterSet } from './filter-set.ts';
import type { Mark } from './mark.ts';
import { Tally } from './tally.ts';

/** What a protocol's bytes may depend on, so that one buffer serves every feed. */
export interface Encodable {
  readonly publication: Publication;
  readonly cursor: Cursor;
  readonly retained: boolean;
}

/** Turns a publication into one protocol's form. Its identity is the key of the shared result: keep one per form. */
export type Encoder<T> = (delivery: Encodable) => T;

/** A publication as a feed is given it. */
export interface Delivery extends Encodable {
  /** Resuming all filters of the feed from here loses nothing. */
  readonly cursor: Cursor;
  /** The feed's filters that match. */
  readonly filters: readonly TopicFilter[];
  /** Given because it is the topic's retained publication, not because it was published just now. */
  readonly retained: boolean;
  /** The result of `encoder`, computed once for everybody who shares this publication at this cursor. */
  encoded<T>(encoder: Encoder<T>): T;
}

/** What an item waits with in an outbox. Shared by every feed that is given it, and never changed. */
export type Parcel = PublicationParcel | GapParcel;

interface Stowed {
  /** The place that is behind the reader once it has this. */
  readonly mark: Mark;
  readonly bytes: number;
}

export type PublicationParcel = Item<Delivery> &
  Stowed & { readonly kind: 'publication'; readonly tally: Tally };
export type GapParcel = Item<Delivery> & Stowed & { readonly kind: 'gap' };

/** What every item counts in limits of bytes beside its texts and payload. */
export const overheadBytes = 256;

/** A publication's size where bytes are limited. */
export function sizeOf(publication: Publication): number {
  const { topic, id, source, payload, attributes } = publication;
  let bytes = overheadBytes + topic.length + id.length + source.length + payload.length;
  if (attributes !== undefined) for (const [name, value] of attributes) bytes += name.length + value.length;
  return bytes;
}

/** A publication at a place: what all its deliveries share, whatever filters they came by. */
export class Envelope implements Encodable {
  readonly publication: Publication;
  readonly mark: Mark;
  readonly retained: boolean;
  readonly bytes: number;
  readonly tally: Tally;
  /** Encoders and their results in turn: there are one or two, and a search of those beats a map. */
  #encodings: unknown[] | undefined;
  /** The parcel of the set that was asked for last: a herd asks for the same. */
  #setKey: string | undefined;
  #setParcel: PublicationParcel | undefined;

  constructor(publication: Publication, mark: Mark, retained = false, tally = new Tally()) {
    this.publication = publication;
    this.mark = mark;
    this.retained = retained;
    this.tally = tally;
    this.bytes = sizeOf(publication);
  }

  get cursor(): Cursor {
    return this.mark.cursor;
  }

  encoded<T>(encoder: Encoder<T>): T {
    this.#encodings ??= [];
    const known = this.#encodings;
    for (let i = 0; i < known.length; i += 2) if (known[i] === encoder) return known[i + 1] as T;
    const made = encoder(this);
    known.push(encoder, made);
    return made;
  }

  /** The parcel for these filters; not remembered. */
  parcel(filters: readonly TopicFilter[]): PublicationParcel {
    return new SharedParcel(new SharedDelivery(this, filters));
  }

  /** The parcel for the filters of `set` that match, undefined where none does. */
  parcelFor(set: FilterSet): PublicationParcel | undefined {
    if (this.#setKey !== set.key) {
      const filters = set.match(this.publication.topic);
      this.#setKey = set.key;
      this.#setParcel = filters.length === 0 ? undefined : this.parcel(filters);
    }
    return this.#setParcel;
  }
}

class SharedDelivery implements Delivery {
  readonly filters: readonly TopicFilter[];
  readonly envelope: Envelope;

  constructor(envelope: Envelope, filters: readonly TopicFilter[]) {
    this.envelope = envelope;
    this.filters = filters;
  }

  get publication(): Publication {
    return this.envelope.publication;
  }

  get cursor(): Cursor {
    return this.envelope.mark.cursor;
  }

  get retained(): boolean {
    return this.envelope.retained;
  }

  encoded<T>(encoder: Encoder<T>): T {
    return this.envelope.encoded(encoder);
  }
}

class SharedParcel {
  readonly kind = 'publication';
  readonly value: SharedDelivery;
  readonly bytes: number;

  constructor(value: SharedDelivery) {
    this.value = value;
    this.bytes = value.envelope.bytes;
  }

  get mark(): Mark {
    return this.value.envelope.mark;
  }

  get tally(): Tally {
    return this.value.envelope.tally;
  }
}

/** A gap whose end is a place that all shards resume from; the log names only the shard that lost something. */
export function gapParcel(from: Cursor, mark: Mark): GapParcel {
  return {
    kind: 'gap',
    from,
    get to() {
      return mark.cursor;
    },
    mark,
    bytes: overheadBytes,
  };
}

/** The same item with another place: for a feed whose own place is not the shared one. */
export function replaced(parcel: Parcel, mark: Mark): Parcel {
  if (parcel.mark === mark) return parcel;
  if (parcel.kind === 'gap') return gapParcel(parcel.from, mark);
  const { publication, retained, filters } = parcel.value;
  return new Envelope(publication, mark, retained, parcel.tally).parcel(filters);
}
