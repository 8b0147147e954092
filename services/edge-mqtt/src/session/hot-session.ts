import { type Cursor, formatCursor, parseCursor } from '@pushfleet/core';
import type { SessionState } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { Given } from './given.ts';
import {
  decodeIn,
  decodeOut,
  encodeIn,
  encodeOut,
  fromPieces,
  intoPieces,
  type KeptIn,
  type KeptOut,
  type KeptSent,
} from './hot-state.ts';
import { LazyMap } from './lazy-map.ts';

/** What a write to the registry has: a field that is undefined goes. */
export interface HotChange {
  readonly cursor: Cursor | undefined;
  readonly fields: Readonly<Record<string, Uint8Array | undefined>>;
}

/** One map of a session, and how much of it the registry was told. */
class Part<T> {
  readonly all = new LazyMap<number, T>();
  readonly #field: string;
  readonly #encode: (all: Iterable<[number, T]>) => Buffer;
  #pieces = 0;
  #changed = false;

  constructor(field: string, encode: (all: Iterable<[number, T]>) => Buffer) {
    this.#field = field;
    this.#encode = encode;
  }

  read(fields: SessionState['fields'], decode: (bytes: Uint8Array) => Iterable<readonly [number, T]>): void {
    const { bytes, pieces } = fromPieces(this.#field, fields);
    for (const [key, value] of decode(bytes)) this.all.set(key, value);
    this.#pieces = pieces;
  }

  set(key: number, value: T): void {
    this.all.set(key, value);
    this.#changed = true;
  }

  delete(key: number): void {
    if (this.all.delete(key)) this.#changed = true;
  }

  /** What the registry has is not what is here. */
  outdated(): void {
    this.#pieces = Math.max(this.#pieces, 1);
    this.#changed = true;
  }

  told(whole: boolean): HotChange['fields'] {
    if (!whole && !this.#changed) return {};
    this.#changed = false;
    const { fields, pieces } = intoPieces(this.#field, this.#encode(this.all), whole ? 0 : this.#pieces);
    this.#pieces = pieces;
    return fields;
  }
}

/** What of a session changes with every few packets: where its supply goes on, what is under way each way, and what it was given lately. */
export class HotSession {
  readonly #out = new Part<KeptSent | undefined>('out', encodeOut);
  readonly #in = new Part<string | undefined>('in', encodeIn);
  readonly given: Given;
  #cursor: Cursor | undefined;
  #moved = false;

  constructor(given: Given) {
    this.given = given;
  }

  /** In the place of one that cannot be read; for `given` see Given. */
  static instead(given: number): HotSession {
    const session = new HotSession(new Given(given));
    session.#out.outdated();
    session.#in.outdated();
    return session;
  }

  /** @throws Unreadable, or PushfleetError `cursor_invalid` */
  static read({ cursor, fields }: SessionState, given: number): HotSession {
    const session = new HotSession(Given.read(fields, given));
    if (cursor !== '') session.#cursor = formatCursor(parseCursor(cursor));
    session.#out.read(fields, decodeOut);
    session.#in.read(fields, decodeIn);
    return session;
  }

  get cursor(): Cursor | undefined {
    return this.#cursor;
  }

  set cursor(cursor: Cursor | undefined) {
    if (cursor === undefined || cursor === this.#cursor) return;
    this.#cursor = cursor;
    this.#moved = true;
  }

  get out(): KeptOut & { readonly size: number } {
    return this.#out.all;
  }

  get in(): KeptIn & Pick<LazyMap<number, string | undefined>, 'has' | 'get'> {
    return this.#in.all;
  }

  /** Undefined: its PUBREC came. It keeps its place. */
  setOut(packetId: number, sent: KeptSent | undefined): void {
    this.#out.set(packetId, sent);
  }

  deleteOut(packetId: number): void {
    this.#out.delete(packetId);
  }

  /** Undefined: the log has it. */
  setIn(packetId: number, id: string | undefined): void {
    this.#in.set(packetId, id);
  }

  deleteIn(packetId: number): void {
    this.#in.delete(packetId);
  }

  /** All of it, or what has changed since this was asked last. */
  told(whole: boolean): HotChange {
    const cursor = whole || this.#moved ? this.#cursor : undefined;
    this.#moved = false;
    const fields = { ...this.#out.told(whole), ...this.#in.told(whole), ...this.given.told(whole) };
    return { cursor, fields };
  }
}
