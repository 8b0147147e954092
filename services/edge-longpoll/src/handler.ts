import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Admission, Shell, ShellGiven } from '@pushfleet/edge';
import type { Deliveries } from '@pushfleet/runtime';
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

/** What the edge is given, and hands on to its handlers. */
export interface Given extends ShellGiven {
  readonly config: EdgeConfig;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
}

type OfShell = 'connections' | 'cors' | 'credentials' | 'isDraining' | 'refused' | 'wheel' | 'written';

/**
 * What the handlers of one edge share. It is theirs to use and the edge's to drain and close: `connections` has
 * whoever waits at this process, whichever handler serves it, and each is ended by `end(code)`.
 */
export interface Ground extends Given, Pick<Shell, OfShell> {
  /** Lets in who asks for a connection: room, credentials and grants in one order. */
  readonly admission: Admission;
}

export type MakeHandler = (ground: Ground) => Handler;
