import { PushfleetError } from '@pushfleet/core';
import type { Grant, Log, Quotas, RevocationList, TimerWheel } from '@pushfleet/runtime';
import { type CloseCode, jitter } from './close-code.ts';

/** What an edge keeps count of. */
export interface Connection {
  readonly grant: Grant;
  /** Names the connection in its client's hands, in logs and in revocations. */
  readonly connection: string;
  /** Tells the client why, as far as it can be told, and ends. */
  end(code: CloseCode): void;
  /** Ends without a word. */
  cut(): void;
}

/** When a connection ends by itself. */
export interface Deadline {
  /** Unix time in milliseconds. */
  readonly at: number;
  readonly code: 'token_expired' | 'connection_age';
}

export interface ConnectionLimits {
  /** Most at once. */
  readonly connections: number;
  /** Most that one token subject holds. */
  readonly connectionsPerSubject: number;
  /** About when one is asked to come back, in milliseconds; 0: never. */
  readonly connectionAgeMs: number;
}

export interface ConnectionsOptions {
  readonly limits: ConnectionLimits;
  readonly quotas: Pick<Quotas, 'open'>;
  readonly wheel: Pick<TimerWheel, 'after'>;
  readonly log: Pick<Log, 'debug' | 'info'>;
  /** What a person calls several of them: "streams". */
  readonly noun: string;
}

const subjectOf = ({ namespace, subject }: Grant): string => `${namespace} ${subject}`;

/** All connections of this process: bounds their number, and ends them on drain and revocation. */
export class Connections<C extends Connection> {
  readonly #o: ConnectionsOptions;
  readonly #open = new Set<C>();
  readonly #perSubject = new Map<string, number>();
  #emptied: () => void = () => {};

  constructor(options: ConnectionsOptions) {
    this.#o = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** @throws PushfleetError `too_many_connections` with `more` others about to open */
  requireRoom(more: number): void {
    const { limits, noun } = this.#o;
    if (this.size + more <= limits.connections) return;
    throw new PushfleetError(
      'too_many_connections',
      `This instance holds its most, ${limits.connections} ${noun}.`,
    );
  }

  /**
   * Takes the room of one connection with so many filters: it is taken before the connection is kept, so that those that
   * open at the same time are counted, too.
   *
   * @returns how to give it back, harmless to call twice
   * @throws PushfleetError `too_many_connections` where the subject has its share, `quota_connections` or
   *   `quota_subscriptions` where its namespace has
   */
  room(grant: Grant, filters: number): () => void {
    const subject = subjectOf(grant);
    this.#requireShare(subject);
    const release = this.#o.quotas.open(grant.namespace, filters);
    this.#perSubject.set(subject, (this.#perSubject.get(subject) ?? 0) + 1);
    let taken = true;
    return () => {
      release();
      if (taken) this.#giveBack(subject);
      taken = false;
    };
  }

  #giveBack(subject: string): void {
    const left = (this.#perSubject.get(subject) as number) - 1;
    if (left > 0) this.#perSubject.set(subject, left);
    else this.#perSubject.delete(subject);
  }

  #requireShare(subject: string): void {
    const { limits, noun } = this.#o;
    if ((this.#perSubject.get(subject) ?? 0) < limits.connectionsPerSubject) return;
    throw new PushfleetError(
      'too_many_connections',
      `The subject of this token holds its most, ${limits.connectionsPerSubject} ${noun}. Close one, or share one between pages.`,
    );
  }

  /** Counts it until the returned function is called, once. */
  keep(one: C): () => void {
    this.#open.add(one);
    const { connection, grant } = one;
    const { namespace, subject: sub } = grant;
    this.#o.log.debug({ connection, namespace, sub }, 'a connection opened');
    return () => this.#forget(one);
  }

  #forget(one: C): void {
    this.#open.delete(one);
    this.#o.log.debug({ connection: one.connection }, 'a connection closed');
    if (this.size === 0) this.#emptied();
  }

  /** When a connection of this grant that opens now ends by itself. */
  deadline(grant: Pick<Grant, 'expiresAt'>): Deadline {
    const { connectionAgeMs } = this.#o.limits;
    const aged = Date.now() + jitter([connectionAgeMs * 0.9, connectionAgeMs * 1.1]);
    return connectionAgeMs > 0 && aged < grant.expiresAt
      ? { at: aged, code: 'connection_age' }
      : { at: grant.expiresAt, code: 'token_expired' };
  }

  /** Ends the connections of revoked tokens. */
  endRevoked(revocations: Pick<RevocationList, 'revoked'>): void {
    for (const one of this.#open) {
      if (!revocations.revoked(one.grant)) continue;
      this.#o.log.info({ connection: one.connection }, 'a connection is ended: its token was revoked');
      one.end('token_revoked');
    }
  }

  /** Ends every connection at a moment of its own within `windowMs`; resolves when all have gone. */
  async drain(windowMs: number, deadline: AbortSignal): Promise<void> {
    for (const one of this.#open) {
      this.#o.wheel.after(jitter([0, windowMs]), () => one.end('draining'));
    }
    if (this.size === 0 || deadline.aborted) return;
    await new Promise<void>((resolve) => {
      this.#emptied = resolve;
      deadline.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** Cuts what is left. */
  close(): void {
    for (const one of this.#open) one.cut();
  }
}
