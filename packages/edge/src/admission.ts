import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError, type TopicFilter } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import type { Connection, Connections } from './connections.ts';
import type { Credentials } from './credentials.ts';

export interface AdmissionOptions {
  readonly connections: Pick<Connections<Connection>, 'requireRoom'>;
  readonly credentials: Pick<Credentials, 'identify'>;
  isDraining(): boolean;
}

/** What a request asks for, as far as that decides whether it is let in. */
export interface Asking {
  readonly filters: readonly TopicFilter[];
  readonly ticket: string | undefined;
}

export interface Arrival<A extends Asking> {
  readonly headers: IncomingHttpHeaders;
  /** Reads what it asks for, its body included. */
  read(): Promise<A>;
  /** Whether it resumes an earlier one; see `Credentials`. */
  returning(ask: A): boolean;
  /** The cookie of a ticket that is spent now: it goes out with whatever the answer is. */
  onCookie(setCookie: string): void;
}

/** Lets requests in that ask for a connection: one order of checks for every edge over HTTP. */
export class Admission {
  readonly #o: AdmissionOptions;
  #waiting = 0;

  constructor(options: AdmissionOptions) {
    this.#o = options;
  }

  /**
   * Reads what is asked for, who asks, and whether that is granted. Cheap refusals come first.
   *
   * @throws PushfleetError `draining`, `too_many_connections`, whatever `read` throws, or as `Credentials` and
   *   `Grant.require` do
   */
  async admit<A extends Asking>(arrival: Arrival<A>): Promise<{ readonly ask: A; readonly grant: Grant }> {
    const { connections, credentials } = this.#o;
    this.#waiting++;
    try {
      if (this.#o.isDraining()) throw new PushfleetError('draining', 'This instance is shutting down.');
      connections.requireRoom(this.#waiting);
      const ask = await arrival.read();
      const who = { ticket: ask.ticket, returning: arrival.returning(ask) };
      const { grant, setCookie } = await credentials.identify(arrival.headers, who);
      if (setCookie !== undefined) arrival.onCookie(setCookie);
      for (const filter of ask.filters) grant.require('subscribe', filter);
      return { ask, grant };
    } finally {
      this.#waiting--;
    }
  }
}
