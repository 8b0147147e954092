import { createServer, type Server, type ServerResponse } from 'node:http';
import { PushfleetError } from '@pushfleet/core';
import { type Address, type Log, listening, type Part, sendProblem } from '@pushfleet/runtime';
import type { Express } from 'express';

/** Listens, and lets what is on its way be answered when it drains. */
export class HttpServer implements Part {
  readonly name = 'http';
  readonly #address: Address;
  readonly #log: Log;
  readonly #server: Server;
  readonly #open = new Set<ServerResponse>();
  #draining = false;
  #idle: (() => void) | undefined;

  constructor(options: { readonly address: Address; readonly app: Express; readonly log: Log }) {
    this.#address = options.address;
    this.#log = options.log;
    this.#server = createServer(
      { maxHeaderSize: 32_768, headersTimeout: 15_000, requestTimeout: 15_000, keepAliveTimeout: 75_000 },
      (request, response) => {
        if (this.#admit(response)) options.app(request, response);
      },
    );
  }

  /** The port that is listened on. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async start(): Promise<void> {
    const { host, port } = this.#address;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    listening(this.#log, 'http', this.#server);
  }

  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    for (const response of this.#open) closeAfter(response);
    this.#server.closeIdleConnections();
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

  #admit(response: ServerResponse): boolean {
    if (this.#draining) {
      closeAfter(response);
      sendProblem(
        response,
        new PushfleetError('draining', 'This instance is shutting down; ask again, another.'),
      );
      return false;
    }
    this.#open.add(response);
    response.once('close', () => {
      this.#open.delete(response);
      if (this.#open.size === 0) this.#idle?.();
    });
    return true;
  }
}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
}
