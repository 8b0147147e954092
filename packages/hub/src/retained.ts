import { type Bus, type Publication, PushfleetError, type TopicFilter } from '@pushfleet/core';
import { sizeOf } from './delivery.ts';
import type { HubOptions } from './options.ts';

type Batches = AsyncIterator<readonly Publication[]>;

/** The retained publications of one filter: what was read at once, and the rest for who goes on reading. */
export interface Retained {
  readonly publications: readonly Publication[];
  readonly rest: { next(): Promise<readonly Publication[] | undefined>; stop(): void } | undefined;
}

interface Request {
  readonly filter: TopicFilter;
  /** Large supplies are not shared: everybody reads them at an own pace. */
  readonly alone: boolean;
  readonly onRead: (retained: Retained) => void;
  readonly onError: (error: PushfleetError) => void;
}

/**
 * Reads retained publications for feeds. A read serves everybody who waited for it when it began, and nobody who
 * came later: what was published in between would be in neither the read nor the later one's live supply.
 */
export class RetainedReads {
  readonly #bus: Bus;
  readonly #options: HubOptions;
  #waiting: Request[] = [];
  #reading = 0;
  readonly #stop = new AbortController();

  constructor(bus: Bus, options: HubOptions) {
    this.#bus = bus;
    this.#options = options;
  }

  read(filter: TopicFilter, onRead: Request['onRead'], onError: Request['onError']): void {
    this.#ask({ filter, alone: false, onRead, onError });
  }

  close(): void {
    this.#waiting = [];
    this.#stop.abort();
  }

  #ask(request: Request): void {
    this.#waiting.push(request);
    this.#next();
  }

  #next(): void {
    while (this.#reading < this.#options.replays && this.#waiting.length > 0) {
      const first = this.#waiting[0] as Request;
      const together = first.alone
        ? [first]
        : this.#waiting.filter(({ filter, alone }) => filter === first.filter && !alone);
      this.#waiting = this.#waiting.filter((request) => !together.includes(request));
      void this.#serve(first.filter, together);
    }
  }

  async #serve(filter: TopicFilter, [first, ...others]: Request[]): Promise<void> {
    this.#reading++;
    try {
      const retained = await this.#read(filter);
      first?.onRead(retained);
      for (const request of others) {
        if (retained.rest === undefined) request.onRead(retained);
        else this.#ask({ ...request, alone: true });
      }
    } catch (error) {
      for (const request of [first, ...others]) request?.onError(PushfleetError.from(error));
    } finally {
      this.#reading--;
      this.#next();
    }
  }

  async #read(filter: TopicFilter): Promise<Retained> {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#stop.signal]);
    const batches: Batches = this.#bus.retained(filter, signal)[Symbol.asyncIterator]();
    const publications: Publication[] = [];
    let bytes = 0;
    while (publications.length < this.#options.pageCount && bytes < this.#options.pageBytes) {
      const next = await batches.next();
      if (next.done) return { publications, rest: undefined };
      publications.push(...next.value);
      for (const publication of next.value) bytes += sizeOf(publication);
    }
    return { publications, rest: rest(batches, stop) };
  }
}

function rest(batches: Batches, stop: AbortController): NonNullable<Retained['rest']> {
  return {
    async next() {
      const next = await batches.next();
      return next.done ? undefined : next.value;
    },
    stop() {
      stop.abort();
      batches.return?.().catch(() => {});
    },
  };
}
