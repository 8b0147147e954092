import type { Shelf } from '@pushfleet/bus';
import type { Namespace } from '@pushfleet/core';
import { decodeOwed, encodeOwed, type Owed } from './job.ts';
import { shortHash } from './place.ts';

/** Publications held in memory, and places remembered, at most; and bytes of payload. */
const mostHeld = 4_096;
const mostBytes = 67_108_864;

/**
 * Publications to which deliveries refer: each lies here once, however many are owed it, for as long as anybody
 * may be. What was deleted is gone, and is owed to nobody any more.
 */
export class OwedShelf {
  readonly #shelf: Shelf;
  readonly #ttlMs: number;
  /** By `nameOf`, in the order of their last use. */
  readonly #places = new Map<string, Promise<number>>();
  readonly #held = new Map<number, Owed>();
  #bytes = 0;

  constructor(shelf: Shelf, ttlMs: number) {
    this.#shelf = shelf;
    this.#ttlMs = ttlMs;
  }

  /** Lays the publication down, if it does not lie there, and gives its place. @throws PushfleetError as `append` */
  async keep(namespace: Namespace, owed: Owed): Promise<number> {
    const name = nameOf(namespace, owed);
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    const place = this.#append(namespace, owed);
    this.#places.set(name, place);
    trim(this.#places, mostHeld);
    try {
      this.#hold(await place, owed);
      return await place;
    } catch (error) {
      this.#places.delete(name);
      throw error;
    }
  }

  /** Undefined where it was deleted, or outlived every attempt. */
  async get(place: number): Promise<Owed | undefined> {
    const held = this.#held.get(place);
    if (held !== undefined) return held;
    const entry = await this.#shelf.get(place);
    if (entry === undefined) return undefined;
    const owed = decodeOwed(entry.body);
    this.#hold(place, owed);
    return owed;
  }

  async #append(namespace: Namespace, owed: Owed): Promise<number> {
    const [place] = await this.#shelf.append([
      {
        key: `${namespace}/${owed.publication.topic}`,
        id: shortHash(nameOf(namespace, owed)),
        body: encodeOwed(owed),
        ttlMs: this.#ttlMs,
      },
    ]);
    return place as number;
  }

  #hold(place: number, owed: Owed): void {
    if (this.#held.has(place)) return;
    this.#held.set(place, owed);
    this.#bytes += owed.publication.payload.length;
    while (this.#held.size > mostHeld || this.#bytes > mostBytes) {
      const [oldest, { publication }] = this.#held.entries().next().value as [number, Owed];
      this.#held.delete(oldest);
      this.#bytes -= publication.payload.length;
    }
  }
}

/**
 * The cursor alone names no publication: that of a replay goes on from one that its caller gave, and ends up at the same
 * text behind another publication, of another namespace even.
 */
const nameOf = (namespace: Namespace, { cursor, publication: { shard, sequence } }: Owed): string =>
  `${namespace}\0${cursor}\0${shard}/${sequence}`;

function trim(map: Map<string, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return;
    map.delete(key);
  }
}
