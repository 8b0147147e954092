import type { Publication } from '@pushfleet/core';
import type { SessionState } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { ByteSink, ByteSource, Unreadable } from './bytes.ts';

/**
 * A resume goes back 10 s where a leader of the log has changed (`mistrustMs` of the bus), and before a loss that was
 * found late, which may have begun a minute earlier (`lossMs` of the hub's ring).
 */
const windowMs = 75_000;
// What one commit writes again because of one publication.
const pageCount = 256;
const pageMs = 5_000;

const fieldPrefix = 'given.';

type Place = Pick<Publication, 'shard' | 'sequence'>;

/** Publications given one after the other: one field of the hot state. */
interface Page {
  readonly number: number;
  /** When the first and the last of them were stored, Unix milliseconds. */
  readonly since: number;
  until: number;
  count: number;
  /** By shard, in the order in which they were given. */
  readonly sequences: Map<number, number[]>;
  isTold: boolean;
}

/**
 * Which publications of QoS 2 a session was given lately, by their places in the log: where a resume goes back behind
 * the session's own place, they are not given again ([MQTT-4.3.3-2] has a sender hand on a message once).
 */
export class Given {
  readonly #most: number;
  #pages: Page[] = [];
  #next = 0;
  #count = 0;
  /** Numbers of pages that are of no use any more, and that the registry may have. */
  #dropped: number[] = [];

  /** @param most publications, the oldest are forgotten first */
  constructor(most: number) {
    this.#most = most;
  }

  /** @throws Unreadable */
  static read(fields: SessionState['fields'], most: number): Given {
    const given = new Given(most);
    const names = Object.keys(fields).filter((name) => name.startsWith(fieldPrefix));
    for (const number of names.map(numberOf).sort((a, b) => a - b)) {
      const page = decode(number, fields[nameOf(number)] as Uint8Array);
      given.#pages.push(page);
      given.#count += page.count;
      given.#next = number + 1;
    }
    return given;
  }

  get count(): number {
    return this.#count;
  }

  add({ shard, sequence, time }: Pick<Publication, 'shard' | 'sequence' | 'time'>): void {
    const page = this.#pageFor(time);
    const own = page.sequences.get(shard);
    if (own === undefined) page.sequences.set(shard, [sequence]);
    else own.push(sequence);
    page.count++;
    page.until = Math.max(page.until, time);
    page.isTold = false;
    this.#count++;
    this.#forget();
  }

  /** All of it as it is now. */
  places(): Places {
    const places = new Places();
    for (const { sequences } of this.#pages)
      for (const [shard, own] of sequences) for (const sequence of own) places.add({ shard, sequence });
    return places;
  }

  /** What of it the registry was not told, or all of it; undefined: a field that goes. */
  told(whole: boolean): Readonly<Record<string, Buffer | undefined>> {
    if (this.#count === 0 && this.#dropped.length === 0) return nothing;
    const fields: Record<string, Buffer | undefined> = {};
    for (const number of this.#dropped) fields[nameOf(number)] = undefined;
    for (const page of this.#pages) {
      if (page.isTold && !whole) continue;
      fields[nameOf(page.number)] = encode(page);
      page.isTold = true;
    }
    this.#dropped = [];
    return fields;
  }

  #pageFor(time: number): Page {
    const last = this.#pages.at(-1);
    if (last !== undefined && last.count < pageCount && time - last.since < pageMs) return last;
    const number = this.#next++;
    const page = { number, since: time, until: time, count: 0, sequences: new Map(), isTold: false };
    this.#pages.push(page);
    return page;
  }

  #forget(): void {
    const newest = (this.#pages.at(-1) as Page).until;
    for (let oldest = this.#pages[0]; oldest !== undefined; oldest = this.#pages[0]) {
      const isOld = oldest.until < newest - windowMs;
      if (this.#pages.length === 1 || (!isOld && this.#count <= this.#most)) return;
      this.#pages.shift();
      this.#count -= oldest.count;
      this.#dropped.push(oldest.number);
    }
  }
}

/** Places of the log, each of which counts once. */
export class Places {
  readonly #sequences = new Map<number, Set<number>>();

  add({ shard, sequence }: Place): void {
    const own = this.#sequences.get(shard);
    if (own === undefined) this.#sequences.set(shard, new Set([sequence]));
    else own.add(sequence);
  }

  /** Whether it is among them; it is no more then. */
  take({ shard, sequence }: Place): boolean {
    return this.#sequences.get(shard)?.delete(sequence) ?? false;
  }
}

const nothing = {};

const nameOf = (number: number): string => `${fieldPrefix}${number}`;

function numberOf(name: string): number {
  const number = Number(name.slice(fieldPrefix.length));
  if (!Number.isSafeInteger(number) || number < 0) throw new Unreadable(`There is no page ${name}.`);
  return number;
}

// A change of the format needs fields of another name: see hot-state.ts.
function encode({ since, until, sequences }: Page): Buffer {
  const sink = new ByteSink();
  sink.number(since);
  sink.number(until - since);
  for (const [shard, own] of sequences) {
    sink.number(shard);
    sink.number(own.length);
    let before = 0;
    for (const sequence of own) {
      sink.signed(sequence - before);
      before = sequence;
    }
  }
  return sink.bytes;
}

function decode(number: number, bytes: Uint8Array): Page {
  const source = new ByteSource(bytes);
  const since = source.number();
  const until = since + source.number();
  const sequences = new Map<number, number[]>();
  let count = 0;
  while (!source.done) {
    const shard = source.number();
    const length = source.number();
    const own: number[] = [];
    for (let before = 0; own.length < length; own.push(before)) before += source.signed();
    sequences.set(shard, own);
    count += length;
  }
  return { number, since, until, count, sequences, isTold: true };
}
