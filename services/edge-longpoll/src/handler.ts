import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Admission, Connection, Connections, Cors, Credentials, Written } from '@pushfleet/edge';
import type { Hubs } from '@pushfleet/hub';
import type { Deliveries, Log, Metrics, Quotas, RegistryClient, TimerWheel } from '@pushfleet/runtime';
import type { EdgeConfig } from './config.ts';

/** Answers the requests of some paths of this service. */
export interface Handler {
  /** The target is within its limit, and the response has its CORS headers. */
  onRequest(request: IncomingMessage, response: ServerResponse): void;
  /** An offer of the WebSocket protocol; without this it is passed over, and `onRequest` answers the request. */
  onUpgrade?(request: IncomingMessage, socket: Socket, head: Buffer): void;
  /** Puts in order what outlives the connections; called when each of them was told to end and has. */
  drain?(deadline: AbortSignal): Promise<void>;
  close(): void;
}

/** What the handlers of one edge share. It is theirs to use and the edge's to drain and close. */
export interface Ground {
  readonly config: EdgeConfig;
  readonly hubs: Hubs;
  readonly quotas: Pick<Quotas, 'open'>;
  readonly registry: Pick<RegistryClient, 'redeemTicket' | 'revocations'>;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
  readonly cors: Cors;
  readonly credentials: Credentials;
  /** Lets in who asks for a connection: room, credentials and grants in one order. */
  readonly admission: Admission;
  /**
   * Whoever waits at this process, whichever handler serves it. The edge ends those of revoked tokens, and all of
   * them on drain, each by `end(code)` at a moment of its own.
   */
  readonly connections: Connections<Connection>;
  readonly wheel: TimerWheel;
  /** To be counted up by whatever is written to clients. */
  readonly written: Written;
  readonly log: Log;
  readonly metrics: Metrics;
  /** From now on new requests are refused by `draining`. */
  isDraining(): boolean;
  /** Counts a request that was refused, by the code of what was thrown, and logs it where it is `internal`. */
  refused(thrown: unknown): void;
}

export type MakeHandler = (ground: Ground) => Handler;
