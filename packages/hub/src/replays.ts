import { type Bus, type Cursor, type Item, type Publication, PushfleetError } from '@pushfleet/core';
import type { FilterSet } from './filter-set.ts';
import { Linger } from './linger.ts';
import { Mark } from './mark.ts';
import type { HubOptions } from './options.ts';
import { type Page, PageBuilder } from './page.ts';

/** A stretch of the log that a feed needs. */
export interface Stretch {
  readonly set: FilterSet;
  readonly after: Mark;
  readonly until: Mark;
}

/** Who is told of a page that had to be read. */
export interface Reading {
  onPage(page: Page): void;
  onError(error: PushfleetError): void;
}

interface Request {
  readonly reading: Reading;
  flight: Flight;
}

/** One read of one page, under way or waiting for its turn. */
interface Flight {
  key: string;
  stretch: Stretch;
  readonly requests: Set<Request>;
  reader: Reader | undefined;
}

/** An open read of the log; between flights it stands at the end of a page. */
interface Reader {
  key: string;
  readonly batches: AsyncIterator<readonly Item<Publication>[]>;
  readonly stop: AbortController;
  readonly until: Mark;
}

const keyOf = ({ set, after }: Omit<Stretch, 'until'>): string => `${after.cursor}\0${set.key}`;

/**
 * Reads the log in pages. Who asks for the same page shares one read, and finds it in memory for a while after;
 * a bounded number of reads run at once, and where more wait, those with equal filters and neighbouring places
 * are served by one that begins at the earliest. Nothing is read that nobody asked for.
 */
export class Replays {
  readonly #bus: Bus;
  readonly #options: HubOptions;
  readonly #flights = new Map<string, Flight>();
  #waiting: Flight[] = [];
  readonly #reading = new Set<Flight>();
  /** In the order in which they were read. */
  readonly #pages = new Map<string, Page>();
  #keptBytes = 0;
  readonly #readers = new Map<string, Reader>();
  readonly #pageLinger: Linger<string>;
  readonly #readerLinger: Linger<Reader>;

  constructor(bus: Bus, options: HubOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#pageLinger = new Linger(options.clock, options.pageLingerMs, (key) => this.#drop(key));
    this.#readerLinger = new Linger(options.clock, options.readerLingerMs, (reader) => this.#discard(reader));
  }

  /** Reads of the log under way, and waiting for their turn. */
  get stats(): { readonly reading: number; readonly waiting: number } {
    return { reading: this.#reading.size, waiting: this.#waiting.length };
  }

  /** The page at the beginning of a stretch, where it is in memory. */
  recall(stretch: Stretch): Page | undefined {
    return this.#pages.get(keyOf(stretch));
  }

  /** Reads the page at the beginning of a stretch; returns how to give up. */
  read(stretch: Stretch, reading: Reading): () => void {
    const key = keyOf(stretch);
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      flight = { key, stretch, requests: new Set(), reader: undefined };
      this.#flights.set(key, flight);
      this.#waiting.push(flight);
    }
    const request = { reading, flight };
    flight.requests.add(request);
    this.#next();
    return () => this.#giveUp(request);
  }

  /** Lets go of the pages in memory: something in them was deleted. */
  forget(): void {
    for (const key of this.#pages.keys()) this.#drop(key);
  }

  close(): void {
    this.#pageLinger.clear();
    this.#readerLinger.clear();
    this.#waiting = [];
    for (const { reader } of this.#reading) reader?.stop.abort();
    for (const reader of this.#readers.values()) this.#discard(reader);
  }

  #giveUp(request: Request): void {
    const { flight } = request;
    flight.requests.delete(request);
    if (flight.requests.size > 0) return;
    this.#unlist(flight);
    this.#waiting = this.#waiting.filter((other) => other !== flight);
    flight.reader?.stop.abort();
  }

  #unlist(flight: Flight): void {
    if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key);
  }

  #next(): void {
    while (this.#reading.size < this.#options.replays) {
      const flight = this.#waiting.shift();
      if (flight === undefined) return;
      if (this.#reading.size === this.#options.replays - 1) this.#merge(flight);
      void this.#fly(flight);
    }
  }

  /** The last free place serves as many of the waiting as it can. Each of them leaves out what it has. */
  #merge(into: Flight): void {
    const alike = this.#waiting.filter(({ stretch }) => this.#isAlike(into.stretch, stretch));
    if (alike.length === 0) return;
    this.#waiting = this.#waiting.filter((flight) => !alike.includes(flight));
    this.#unlist(into);
    for (const flight of alike) {
      this.#unlist(flight);
      const after = into.stretch.after.earlier(flight.stretch.after);
      into.stretch = { ...into.stretch, after, until: into.stretch.until.later(flight.stretch.until) };
      for (const request of flight.requests) {
        request.flight = into;
        into.requests.add(request);
      }
    }
    into.key = keyOf(into.stretch);
  }

  #isAlike(a: Stretch, b: Stretch): boolean {
    if (a.set.key !== b.set.key) return false;
    // The log never goes back behind a place that was read, as who comes from another may need it to.
    if (a.after.read || b.after.read) return false;
    const comparable = a.after.generation === b.after.generation && a.after.complete && b.after.complete;
    return comparable && Math.abs(a.after.time - b.after.time) <= this.#options.replayMergeMs;
  }

  async #fly(flight: Flight): Promise<void> {
    this.#reading.add(flight);
    try {
      const since = this.#options.clock.now();
      const page = await this.#readPage(flight);
      const ms = this.#options.clock.now() - since;
      this.#options.observer?.replayed?.({ count: page.parcels.length, bytes: page.bytes, ms });
      this.#unlist(flight);
      this.#remember(flight.key, page);
      for (const { reading } of flight.requests) reading.onPage(page);
    } catch (error) {
      this.#unlist(flight);
      for (const { reading } of flight.requests) reading.onError(PushfleetError.from(error));
    } finally {
      this.#reading.delete(flight);
      this.#next();
    }
  }

  async #readPage(flight: Flight): Promise<Page> {
    const { set, after, until } = flight.stretch;
    const parked = this.#resume(flight.key);
    const page = new PageBuilder(set, after, parked?.until ?? until);
    const reader = parked ?? this.#open(flight.stretch, page);
    flight.reader = reader;
    try {
      while (page.count < this.#options.pageCount && page.bytes < this.#options.pageBytes) {
        const next = await reader.batches.next();
        reader.stop.signal.throwIfAborted();
        if (next.done) return page.build(true);
        page.add(next.value);
      }
    } catch (error) {
      reader.stop.abort();
      throw error;
    }
    const built = page.build(false);
    this.#park(reader, keyOf({ set, after: built.reached }));
    return built;
  }

  #open({ set, after, until }: Stretch, page: PageBuilder): Reader {
    const stop = new AbortController();
    const begin = (start: Cursor): void => page.begin(Mark.parse(start));
    const batches = this.#bus.replay(set.filters, after.cursor, until.cursor, stop.signal, begin);
    return { key: '', batches: batches[Symbol.asyncIterator](), stop, until };
  }

  /** The read that stopped where this one begins. */
  #resume(key: string): Reader | undefined {
    const reader = this.#readers.get(key);
    if (reader !== undefined) {
      this.#readers.delete(key);
      this.#readerLinger.delete(reader);
    }
    return reader;
  }

  #park(reader: Reader, key: string): void {
    const other = this.#readers.get(key);
    if (other !== undefined) this.#discard(other);
    const oldest = this.#readers.values().next().value;
    if (oldest !== undefined && this.#readers.size >= this.#options.replays) this.#discard(oldest);
    reader.key = key;
    this.#readers.set(key, reader);
    this.#readerLinger.add(reader);
  }

  #discard(reader: Reader): void {
    if (this.#readers.get(reader.key) === reader) this.#readers.delete(reader.key);
    this.#readerLinger.delete(reader);
    reader.stop.abort();
    // A generator that waits inside a batch ends by the signal; one that stands at a batch ends by this.
    reader.batches.return?.().catch(() => {});
  }

  /** A page without progress is not kept: who asks again hopes for more. */
  #remember(key: string, page: Page): void {
    if (page.parcels.length === 0 && page.after.reaches(page.reached)) return;
    this.#drop(key);
    this.#pages.set(key, page);
    this.#keptBytes += page.bytes;
    this.#pageLinger.add(key);
    for (const oldest of this.#pages.keys()) {
      if (this.#keptBytes <= this.#options.keptBytes) return;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const page = this.#pages.get(key);
    if (page === undefined) return;
    this.#pages.delete(key);
    this.#pageLinger.delete(key);
    this.#keptBytes -= page.bytes;
  }
}
