import { matches, type Publication, type PushfleetError, type TopicFilter } from '@pushfleet/core';
import { Envelope, type Parcel } from './delivery.ts';
import type { Mark } from './mark.ts';
import type { Retained, RetainedReads } from './retained.ts';

/** The retained publications of several filters, one at a time and each once. */
export class RetainedWalk {
  readonly #reads: RetainedReads;
  readonly #filters: readonly TopicFilter[];
  readonly #at: Mark;
  readonly #wake: () => void;
  readonly #fail: (error: PushfleetError) => void;
  readonly #lose: (error: PushfleetError) => void;
  #filter = 0;
  #batch: readonly Publication[] = [];
  #index = 0;
  #rest: Retained['rest'];
  #state: 'ready' | 'asked' | 'given' | 'stopped' = 'ready';

  /** @param at the place the live supply begins behind: what is newer comes with it */
  constructor(o: {
    reads: RetainedReads;
    filters: readonly TopicFilter[];
    at: Mark;
    wake: () => void;
    fail: (error: PushfleetError) => void;
    lose: (error: PushfleetError) => void;
  }) {
    this.#reads = o.reads;
    this.#filters = o.filters;
    this.#at = o.at;
    this.#wake = o.wake;
    this.#fail = o.fail;
    this.#lose = o.lose;
  }

  /** The next one; `wait` until woken; undefined at the end. */
  next(): Parcel | 'wait' | undefined {
    while (this.#filter < this.#filters.length) {
      const publication = this.#batch[this.#index];
      if (publication !== undefined) {
        this.#index++;
        const parcel = this.#parcel(publication);
        if (parcel !== undefined) return parcel;
      } else if (this.#state === 'asked' || this.#ask()) return 'wait';
    }
    return undefined;
  }

  /** What was read and is not given yet. */
  held(): readonly Publication[] {
    return this.#batch.slice(this.#index);
  }

  stop(): void {
    this.#state = 'stopped';
    this.#rest?.stop();
  }

  /** Asks for more of this filter or begins the next; false where there is nothing to wait for. */
  #ask(): boolean {
    if (this.#state === 'given' && this.#rest === undefined) {
      this.#filter++;
      this.#state = 'ready';
      return false;
    }
    this.#state = 'asked';
    if (this.#rest === undefined) this.#begin(this.#filters[this.#filter] as TopicFilter);
    else this.#continue(this.#rest);
    return true;
  }

  #begin(filter: TopicFilter): void {
    const onRead = ({ publications, rest }: Retained) => {
      if (this.#state === 'stopped') rest?.stop();
      else this.#take(publications, rest);
    };
    this.#reads.read(filter, onRead, (error) => this.#failed(error));
  }

  #continue(rest: NonNullable<Retained['rest']>): void {
    rest.next().then(
      (batch) => this.#take(batch ?? [], batch === undefined ? undefined : rest),
      (error) => this.#failed(error),
    );
  }

  #take(batch: readonly Publication[], rest: Retained['rest']): void {
    if (this.#state === 'stopped') return;
    this.#batch = batch;
    this.#index = 0;
    this.#rest = rest;
    this.#state = 'given';
    this.#wake();
  }

  #failed(error: PushfleetError): void {
    if (this.#state === 'stopped') return;
    if (this.#rest !== undefined) {
      this.#lose(error); // a part of the filter was given, in no order to go on from
      return;
    }
    this.#state = 'ready';
    this.#fail(error);
  }

  #parcel(publication: Publication): Parcel | undefined {
    if (!this.#at.isPast(publication)) return undefined;
    const filters = this.#filters.filter((filter) => matches(filter, publication.topic));
    if (filters[0] !== this.#filters[this.#filter]) return undefined; // given with an earlier filter
    return new Envelope(publication, this.#at, true).parcel(filters);
  }
}
