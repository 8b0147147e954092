import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type Address, arrivalTimes, type Log, listening } from '@pushfleet/runtime';
import { head } from './visit.ts';

export interface ListenerOptions {
  readonly address: Address;
  /** Longest head of a request, in bytes. */
  readonly headerBytes: number;
  /** Longest time that a request may take to arrive, in milliseconds. */
  readonly requestMs: number;
  /** Most connections at once that are to be served; some more are let in, to be told to come back. */
  readonly connections: number;
  /** Whether an offer to upgrade is taken up; one that is passed over is answered as if it had not been made. */
  readonly upgrades: (request: IncomingMessage) => boolean;
  readonly log: Log;
  onRequest(request: IncomingMessage, response: ServerResponse): void;
}

/** The listener of an edge: node:http with bounds, for connections that leave it once they are streams. */
export class Listener {
  readonly server: Server;
  readonly #o: ListenerOptions;
  /** Sockets that carry a stream or wait for one: whatever else is wrong on them is not answered. */
  readonly #taken = new WeakSet<Socket>();

  constructor(options: ListenerOptions) {
    const { headerBytes, connections, requestMs } = options;
    this.#o = options;
    this.server = createServer({
      maxHeaderSize: headerBytes,
      ...arrivalTimes(requestMs),
      shouldUpgradeCallback: options.upgrades,
    });
    // Room for those who are only to be told to come back.
    this.server.maxConnections = Math.ceil(connections * 1.1) + 100;
    this.server.on('request', (request, response) => {
      // A stream has no end, so nothing behind it on the same socket could be answered.
      if (this.#taken.has(request.socket)) request.socket.destroy();
      else options.onRequest(request, response);
    });
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const answerable = socket.writable && !this.#taken.has(socket as Socket);
      if (answerable) socket.end(answerToBadHead(error.code, headerBytes));
      else socket.destroy();
    });
  }

  /** Where it listens, once started. */
  get address(): AddressInfo {
    return this.server.address() as AddressInfo;
  }

  /** From now on the socket is its taker's. */
  take(socket: Socket): void {
    this.#taken.add(socket);
  }

  async start(): Promise<void> {
    const { address, log } = this.#o;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(address, () => resolve());
    });
    this.server.removeAllListeners('error');
    this.server.on('error', (error) => log.error({ err: error }, 'the listener failed'));
    listening(log, 'http', this.server);
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }
}

/** What a client is answered whose request node:http could not read. */
function answerToBadHead(code: string | undefined, headerBytes: number): string {
  const [status, detail] = badHead(code, headerBytes);
  const body = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail });
  return (
    head(status, {
      'content-type': 'application/problem+json',
      'content-length': String(Buffer.byteLength(body)),
      connection: 'close',
    }) + body
  );
}

function badHead(code: string | undefined, headerBytes: number): [number, string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return [
        431,
        `The request's head is larger than ${headerBytes} bytes. Send topics in the body of a POST.`,
      ];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'The request took too long to arrive.'];
    default:
      return [400, 'This is not an HTTP/1.1 request.'];
  }
}
