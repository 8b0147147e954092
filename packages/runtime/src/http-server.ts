import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { PushfleetError } from '@pushfleet/core';
import type { Address } from './field.ts';
import { refuseRequest } from './http-request.ts';
import { type Log, listening } from './log.ts';
import type { Part } from './part.ts';
import { refuseUnread } from './unread.ts';

export interface HttpServerOptions {
  readonly address: Address;
  /** An Express app is one, too. */
  readonly handler: RequestListener;
  readonly log: Log;
  /** Most bytes of a request's line and headers together; more get a problem document. */
  readonly headerBytes: number;
  /** Longest time a request may take to arrive, in milliseconds. */
  readonly requestMs: number;
  /** What bodies have beyond that, in milliseconds; nothing by default. */
  readonly bodyMs?: number;
  /** The handler sends 100 Continue itself, once it wants the body; without this every client gets it at once. */
  readonly asksForBodies?: boolean;
}

/**
 * An HTTP/1.1 listener as a part. While it drains it still listens, and answers what is new with 503 `draining`;
 * what was on its way is finished. Handlers that never end, such as event streams, do not belong here.
 */
export class HttpServer implements Part {
  readonly name = 'http';
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  readonly #open = new Set<ServerResponse>();
  #draining = false;
  #idle: (() => void) | undefined;

  constructor(options: HttpServerOptions) {
    const { handler, headerBytes, requestMs, bodyMs = 0, asksForBodies = false } = options;
    this.#options = options;
    const onRequest: RequestListener = (request, response) => {
      this.#count(response);
      if (this.#draining) refuseRequest(request, closeAfter(response), draining(), pathOf(request.url));
      else handler(request, response);
    };
    this.#server = createServer(
      {
        maxHeaderSize: headerBytes,
        ...arrivalTimes(requestMs, bodyMs),
        // Longer than load balancers keep theirs, so that none sends into a connection being closed.
        keepAliveTimeout: 75_000,
      },
      onRequest,
    );
    if (asksForBodies) this.#server.on('checkContinue', onRequest);
    this.#server.on('clientError', (error, socket) => refuseUnread(error, socket, headerBytes));
  }

  /** The port that is listened on; 0 before the start. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async start(): Promise<void> {
    const { host, port } = this.#options.address;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    listening(this.#options.log, this.name, this.#server);
  }

  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    // Idle connections stay: what a client sends at this moment gets an answer and no reset.
    for (const response of this.#open) closeAfter(response);
    if (this.#open.size === 0 || deadline.aborted) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      deadline.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #count(response: ServerResponse): void {
    this.#open.add(response);
    response.once('close', () => {
      this.#open.delete(response);
      if (this.#open.size === 0) this.#idle?.();
    });
  }
}

/**
 * How long requests may take to arrive, as node:http is told it. A connection that has said nothing yet counts from its
 * beginning.
 *
 * @param bodyMs what bodies have beyond `requestMs`
 */
export function arrivalTimes(requestMs: number, bodyMs = 0) {
  const headersTimeout = Math.ceil(requestMs / 3);
  return {
    headersTimeout,
    requestTimeout: requestMs + bodyMs,
    connectionsCheckingInterval: Math.min(5_000, Math.ceil(headersTimeout / 2)),
  };
}

const draining = (): PushfleetError =>
  new PushfleetError('draining', 'This instance is shutting down; send the request again, to another.');

const pathOf = (target = '/'): string => target.split('?', 1)[0] ?? '';

function closeAfter(response: ServerResponse): ServerResponse {
  if (!response.headersSent) response.setHeader('connection', 'close');
  return response;
}
