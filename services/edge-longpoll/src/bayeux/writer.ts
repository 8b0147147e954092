import type { Ledger } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import type { TimerWheel } from '@pushfleet/runtime';
import { encodeRecord, type SessionRecord } from './record.ts';
import type { Session } from './session.ts';

export interface WriterOptions {
  readonly ledger: Pick<Ledger, 'put'>;
  readonly wheel: Pick<TimerWheel, 'after'>;
  readonly instance: string;
  /** How long a record lives that is not written again, in milliseconds. */
  readonly lifeMs: number;
  /** The record has passed on to another instance. */
  onLost(session: Session): void;
}

/** What is known of one session's record. */
interface Row {
  revision: number;
  /** When it was last written, by `performance.now()`. */
  written: number;
  /** The write under way. */
  current: Promise<void> | undefined;
  /** The write behind it, which will have everything that changes until it begins. */
  next: Promise<void> | undefined;
}

// What a session's client has received changes with every answer. It is written at most once a second for each, and
// for all of them so often that the ledger has room for the rest of the fleet: 100 each 100 ms.
const apartMs = 1_000;
const turnMs = 100;
const turnWrites = 100;
/** The end of a session stays for a moment, so that nobody who read it before writes it again. */
const endMs = 5_000;

/** Keeps the records of the sessions of one instance; each write is fenced by the revision before it. */
export class Writer {
  readonly #o: WriterOptions;
  readonly #rows = new Map<Session, Row>();
  readonly #dirty = new Set<Session>();
  #armed = false;
  writes = 0;

  constructor(options: WriterOptions) {
    this.#o = options;
  }

  /** From now on its record is written here. @param revision what it has; 0 where there is none */
  take(session: Session, revision: number): void {
    this.#rows.set(session, { revision, written: 0, current: undefined, next: undefined });
  }

  /** It is written here no more; what is under way ends by itself. */
  forget(session: Session): void {
    this.#dirty.delete(session);
    this.#rows.delete(session);
  }

  /** That of its record as far as it is known here; it rises with every write, whoever writes. */
  revision(session: Session): number {
    return this.#rows.get(session)?.revision ?? 0;
  }

  /** Whether half of its life is over. */
  isOld(session: Session): boolean {
    const row = this.#rows.get(session);
    return row !== undefined && performance.now() - row.written > this.#o.lifeMs / 2;
  }

  /** Writes it when there is time. */
  later(session: Session): void {
    this.#dirty.add(session);
    this.#arm();
  }

  /** Writes it now, as it is when the write begins. @throws PushfleetError `unavailable` */
  store(session: Session, place?: Pick<SessionRecord, 'cursor' | 'batch'>): Promise<void> {
    const row = this.#rows.get(session);
    if (row === undefined) throw passedOn();
    row.next ??= this.#queue(session, row, () => {
      const { instance } = this.#o;
      const { cursor, batch } = { ...recordOf(session), ...place };
      return encodeRecord({ ...recordOf(session), by: instance, batch, ...(cursor && { cursor }) });
    });
    return row.next;
  }

  /** The last word on a session. Where another instance has it by now, that one's counts. */
  async end(session: Session, value: Uint8Array): Promise<void> {
    const row = this.#rows.get(session);
    if (row === undefined) return;
    const ttlMs = value.length === 0 ? endMs : this.#o.lifeMs;
    await this.#settle(row);
    this.forget(session);
    await this.#put(session, row, value, ttlMs).catch((error: unknown) => {
      if (PushfleetError.from(error).code !== 'conflict') throw error;
    });
  }

  /** Resolves when nothing is being written of it. */
  async settled(session: Session): Promise<void> {
    const row = this.#rows.get(session);
    if (row !== undefined) await this.#settle(row);
  }

  async #settle(row: Row): Promise<void> {
    await Promise.allSettled([row.current, row.next]);
  }

  #queue(session: Session, row: Row, value: () => Uint8Array): Promise<void> {
    const write = async (): Promise<void> => {
      await row.current?.catch(() => undefined);
      row.current = row.next;
      row.next = undefined;
      this.#dirty.delete(session);
      await this.#put(session, row, value(), this.#o.lifeMs);
    };
    return write().catch((error: unknown) => this.#failed(session, PushfleetError.from(error)));
  }

  async #put({ key }: Session, row: Row, value: Uint8Array, ttlMs: number): Promise<void> {
    this.writes++;
    row.written = performance.now();
    row.revision = await this.#o.ledger.put(key, value, { ifRevision: row.revision, ttlMs });
  }

  #failed(session: Session, error: PushfleetError): never {
    if (error.code !== 'conflict') {
      // What is too large stays so; it is written with the next change.
      if (error.code === 'unavailable' && this.#rows.has(session) && !session.ended) this.later(session);
      throw error;
    }
    this.#rows.delete(session);
    this.#o.onLost(session);
    throw error;
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#o.wheel.after(turnMs, () => {
      this.#armed = false;
      this.#turn();
      if (this.#dirty.size > 0) this.#arm();
    });
  }

  #turn(): void {
    const now = performance.now();
    let left = turnWrites;
    for (const session of this.#dirty) {
      if (left === 0) return;
      const row = this.#rows.get(session);
      if (row === undefined) this.#dirty.delete(session);
      else if (now - row.written >= apartMs) {
        left--;
        this.#dirty.delete(session);
        // What fails is tried again at a later turn.
        this.store(session).catch(() => undefined);
      }
    }
  }
}

const passedOn = (): PushfleetError =>
  new PushfleetError('unavailable', 'Another instance has the session now; send it again.', {
    retryAfterMs: 0,
  });

/** What a session's record says at this moment, but for who has it. */
export function recordOf(session: Session): Omit<SessionRecord, 'by'> {
  const { grant, connection, acks: ack, batch, place, subscriptions, presences } = session;
  return {
    ...{ grant, connection, ack, batch },
    ...(place !== undefined && { cursor: place }),
    subscriptions: [...subscriptions.values()],
    presences: [...presences.values()],
  };
}
