import { comeBackCodes, meanings } from '@pushfleet/core';

/** What a client asks an edge for, in the fleet's words. */
export interface Ask {
  readonly token: string;
  readonly filters: readonly string[];
  readonly after?: string | undefined;
  readonly retained?: boolean;
}

/** A publication as a client sees it; every protocol carries these. */
export interface Received {
  readonly id: string;
  readonly source: string;
  readonly topic: string;
  readonly text: string;
  /** Undefined where the protocol does not tell. */
  readonly retained?: boolean | undefined;
}

/** What an edge tells a client, whichever protocol carries it. */
export type Arrival =
  | { readonly kind: 'publication'; readonly value: Received; readonly cursor?: string | undefined }
  | { readonly kind: 'gap'; readonly from: string; readonly to: string }
  | { readonly kind: 'place'; readonly cursor: string }
  | ({ readonly kind: 'end' } & End);

export interface End {
  /** A code of docs/errors.md; `cut` where the connection ended without a word. */
  readonly code: string;
  /** The client is to come back with the same credentials. */
  readonly reconnect: boolean;
}

/**
 * Whether a client comes back by itself after this code; so it does where the word was none of the fleet's, such as
 * `cut`.
 */
export const comesBack = (code: string): boolean =>
  !Object.hasOwn(meanings, code) || comeBackCodes.some((one) => one === code);

/** One connection, or what stands for one where requests come and go. */
export interface Line {
  /** Stops reading what comes; for protocols of requests, stops asking. */
  pause(): void;
  resume(): void;
  close(): void;
  /** Goes on at another instance, with what the protocol itself has for that; absent where a cursor is all it has. */
  move?(address: string): void;
}

/** An edge's refusal of a request. */
export class Refused extends Error {
  /** A code of docs/errors.md. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

/** A protocol, as a client that others wrote speaks it. */
export interface EdgeProtocol {
  readonly name: string;
  /** The service that speaks it: the name of its folder. */
  readonly service: string;
  /** The client asks for each batch; nobody cuts it for being slow, and no last word reaches it between two requests. */
  readonly pulls: boolean;
  /** What a client does not take in time is read from the log again: nobody cuts it for being slow. */
  readonly rewinds?: boolean;
  /** Its clients are given cursors, and resume from one of any protocol. */
  readonly cursors: boolean;
  /** Whether it has words for a filter; for all of them, where it does not say. */
  takes?(filter: string): boolean;
  /** What it cannot do, each with its reason. A case that passes all the same fails. */
  readonly knownFailing?: KnownFailing;
  /**
   * Subscribes; resolves once all that is published from now on will arrive.
   *
   * @param address host:port of an instance
   * @param on is told everything that arrives, in order, the end included
   * @throws Refused
   */
  connect(address: string, ask: Ask, on: (arrival: Arrival) => void): Promise<Line>;
}

export type CaseName =
  | 'order'
  | 'overlapping filters'
  | 'a duplicate id'
  | 'retained'
  | 'resume on another instance'
  | 'a gap after retention'
  | 'a forbidden filter'
  | 'the expiry of a token'
  | 'revocation'
  | 'a slow consumer'
  | 'drain'
  | 'a change of leader';

export type KnownFailing = Readonly<Partial<Record<CaseName, string>>>;

/** What a token of the suite may do; its grants are `#`. */
export interface Holder {
  readonly namespace: string;
  readonly subject: string;
  /** Seconds; an hour unless said. */
  readonly lifetime?: number;
  /** Filters instead of `#`. */
  readonly subscribe?: readonly string[];
}

export interface Sent {
  readonly namespace: string;
  readonly topic: string;
  readonly id: string;
  readonly text: string;
  readonly retain?: boolean;
}

/** Two instances of every edge with one log behind them, set up with `suitePolicies`. */
export interface FleetUnderTest {
  token(holder: Holder): Promise<string>;
  /** host:port of every instance of the service that takes connections of the protocol, the oldest first; two. */
  addresses(protocol: EdgeProtocol): readonly string[];
  /** Resolves once it is stored; whether it was stored before. */
  publish(sent: Sent): Promise<{ readonly duplicate: boolean }>;
  revoke(holder: Holder): Promise<void>;
  /** Tells the oldest instance of each service to stop; resolves when they are gone and others have taken their place. */
  drainOldest(): Promise<void>;
  /** Kills the server that leads the log; resolves when the log has a leader again. */
  changeLeader(): Promise<void>;
}

/** Most bytes that an edge may hold back for a slow client, for the suite to reach it soon. */
export const suiteOutboxBytes = 65_536;

/** How long the suite's fleet keeps what is published below `brief`, in seconds. */
export const suiteRetention = 1;

/** What the suite's fleet reads as PUSHFLEET_POLICIES_FILE. */
export const suitePolicies = { topics: [{ filter: 'brief/#', retention: suiteRetention }] };
