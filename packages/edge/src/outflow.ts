import type { Cursor, Item } from '@pushfleet/core';
import type { CloseReason, Delivery, Feed, FeedOptions, Hub } from '@pushfleet/hub';
import type { Deliveries } from '@pushfleet/runtime';
import type { Runs } from './runs.ts';

/** The way to the client; a socket is one. */
export interface Wire {
  /** False: it is full, and `drained` has to be called once it is not. */
  write(bytes: Buffer): boolean;
  end(bytes: Buffer): void;
  destroy(): void;
}

/** The bytes of one item; the same buffer for every connection whose bytes are the same. */
export type Encode = (item: Item<Delivery>) => Buffer;

/** What an edge has written to its clients. */
export interface Written {
  deliveries: number;
  bytes: number;
}

/** What the outflows of one edge share. */
export interface OutflowShared {
  readonly runs: Runs;
  readonly deliveries: Pick<Deliveries, 'writing'>;
  /** Most publications a feed holds back for a slow client, and their bytes. */
  readonly outbox: { readonly count: number; readonly bytes: number };
  /** Counted up by every outflow. */
  readonly written: Written;
}

export interface OutflowOptions {
  readonly hub: Pick<Hub, 'open'>;
  readonly wire: Pick<Wire, 'write'>;
  readonly encode: Encode;
  readonly overflow?: FeedOptions['overflow'];
  /** The hub closed the feed, or something of ours failed in the middle. */
  onClose(reason: CloseReason): void;
}

// What one write carries at most: enough to make the system call cheap, little enough that a slow client holds
// little outside its bounded outbox.
const flushCount = 512;
const flushBytes = 64 * 1_024;

/** What a connection is sent: a feed, encoded, on a wire that may be full. It has no word of its own to say. */
export class Outflow {
  readonly feed: Feed;
  readonly #shared: OutflowShared;
  readonly #wire: Pick<Wire, 'write'>;
  readonly #encode: Encode;
  #writable = true;
  #closed = false;
  /** The place that is behind the client once it has all that was written; undefined before the first word of it. */
  told: Cursor | undefined;

  /** @throws PushfleetError `draining` or `too_many_connections` where the hub takes no more feeds */
  constructor(shared: OutflowShared, o: OutflowOptions) {
    this.#shared = shared;
    this.#wire = o.wire;
    this.#encode = o.encode;
    this.feed = o.hub.open({
      overflow: o.overflow ?? 'close',
      ...shared.outbox,
      onReadable: () => this.#flush(),
      onClose: (reason) => o.onClose(reason),
    });
  }

  /** Whether the wire takes bytes at this moment. */
  get writable(): boolean {
    return this.#writable;
  }

  /** Says something between the publications. */
  say(bytes: Buffer): void {
    this.#writable = this.#wire.write(bytes);
  }

  // The hot path of the product. The hub calls for all feeds together once a turn, so an idle process writes at
  // once and a busy one finds several publications to write together.
  #flush(): void {
    while (this.#writable && !this.#closed) {
      const items = this.feed.take(flushCount, flushBytes);
      if (items.length === 0) return;
      const written = this.#shared.deliveries.writing(items);
      const bytes = this.#shared.runs.bytes(items.map(this.#encode));
      this.say(bytes);
      written?.();
      this.told = cursorOf(items[items.length - 1] as Item<Delivery>);
      this.#shared.written.deliveries += items.length;
      this.#shared.written.bytes += bytes.length;
    }
  }

  /** The wire takes bytes again. */
  drained(): void {
    this.#writable = true;
    this.#flush();
  }

  /** A quiet feed's place, where it has moved on since the client was told one: from the old one a resume would one day meet a gap. */
  moved(): Cursor | undefined {
    const { cursor } = this.feed;
    // Before anything was given there is nothing to resume.
    if (this.told === undefined || this.told === cursor) return undefined;
    this.told = cursor;
    return cursor;
  }

  close(): void {
    this.#closed = true;
    this.feed.close();
  }
}

/** The place behind an item. */
export const cursorOf = (item: Item<Delivery>): Cursor =>
  item.kind === 'publication' ? item.value.cursor : item.to;
