import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  maxHeaderSize,
  type Server,
  ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { PushfleetError, quote } from '@pushfleet/core';
import { type Route, refuseUnread, routeFor, sendProblem } from '@pushfleet/runtime';
import { createProxyServer } from 'http-proxy-3';
import type { Page } from './page.ts';

export interface FrontOptions {
  readonly routes: readonly Route[];
  /** host:port of a service's HTTP listener; undefined while it does not run. */
  readonly addressOf: (service: string) => string | undefined;
  /** What is answered at `/`; nothing without it. */
  readonly page?: Pick<Page, 'take'>;
}

/** One origin for every service: http://127.0.0.1:8000 by default. */
export interface Front {
  readonly url: string;
  close(): Promise<void>;
}

/** How many ports above the usual one are tried when that is taken. */
const portsTried = 10;
/** Idle connections that are kept for each service. */
const idleMost = 64;
/** How long they are kept, in milliseconds: less than any service keeps them, so that none goes away under a request. */
const idleMs = 4_000;
/** Headers that are about one connection and not the next one (RFC 9110, 7.6.1). */
const hopByHop = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer'] as const;

/**
 * Listens on 127.0.0.1. A port that was asked for is the only one tried; without one it is 8000 or the next free.
 *
 * @throws Error that says what to do about a taken port
 */
export async function openFront(o: FrontOptions, port: number | undefined): Promise<Front> {
  // Who waits holds a connection, so how many there are is for the services to bound.
  const agent = new Agent({ keepAlive: true, maxFreeSockets: idleMost, timeout: idleMs });
  const server = createFrontServer(o, agent);
  const first = port ?? 8000;
  const last = port ?? first + portsTried;
  for (let candidate = first; ; candidate++) {
    try {
      await listen(server, candidate);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (candidate === last) throw new Error(taken(first, last));
    }
  }
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The front has no port.');
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        agent.destroy();
      }),
  };
}

const taken = (first: number, last: number): string =>
  first === last
    ? `Port ${first} is taken by another program. Stop that program, or choose another port: npm start -- --port ${first + 1}`
    : `The ports ${first} to ${last} are all taken. Choose a free one: npm start -- --port 9000`;

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function createFrontServer(o: FrontOptions, agent: Agent): Server {
  // `toProxy` hands the target on as it came. Otherwise it is normalised as a browser does it, and what was published
  // on `a/../b` or `a\b` is stored on another topic.
  // Answers are handed on here: the proxy would hand on what was said of the connection to the service, too.
  const proxy = createProxyServer({ xfwd: true, toProxy: true, selfHandleResponse: true });
  proxy.on('error', (_error, _request, answer) => {
    // A WebSocket has no answer to write to.
    if (answer instanceof ServerResponse) sendProblem(answer, unavailable('The service does not answer.'));
    else answer?.destroy();
  });
  proxy.on('proxyRes', (incoming, _request, answer) => {
    const { statusCode = 502, statusMessage, headers } = incoming;
    without(headers, 'transfer-encoding', ...hopByHop);
    answer.writeHead(statusCode, statusMessage, headers);
    incoming.pipe(answer);
    // Where a service dies in the middle of a stream its reader has to learn of it.
    incoming.once('close', () => {
      if (!incoming.complete) answer.destroy();
    });
  });
  // An offer may be passed over: any other than WebSocket's, such as curl's h2c, which the proxy would cut without a
  // word, and that of a WebSocket where there is none, which is answered as the request that it is.
  const shouldUpgradeCallback = (request: IncomingMessage): boolean =>
    request.headers.upgrade?.toLowerCase() === 'websocket' && webSocketOf(o, request) !== undefined;
  const server = createServer({ shouldUpgradeCallback }, (request, answer) => {
    if (o.page?.take(request, answer)) return;
    const { service, url } = targetOf(o, request);
    if (service === undefined) sendProblem(answer, notFound(request));
    else if (url === undefined) sendProblem(answer, unavailable(`${service} does not run.`));
    else {
      const { headers } = request;
      // An offer that was passed over is not the service's to take: this connection would not follow it.
      without(headers, 'upgrade', 'http2-settings', ...hopByHop);
      // The proxy sends some chunked bodies without their frame: nothing may come behind those on their connection.
      const shared = headers['transfer-encoding'] === undefined;
      proxy.web(request, answer, { target: url, ...(shared && { agent }) });
    }
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    proxy.ws(request, socket, head, { target: webSocketOf(o, request) as string });
  });
  server.on('clientError', (error, socket) => refuseUnread(error, socket, maxHeaderSize));
  // Streams last as long as they like; each service bounds its own requests.
  server.requestTimeout = 0;
  server.timeout = 0;
  return server;
}

function without(headers: IncomingHttpHeaders, ...names: readonly string[]): void {
  for (const name of names) delete headers[name];
}

interface Target {
  readonly service?: string;
  readonly url?: string;
  readonly websocket?: Route['websocket'];
}

function targetOf(o: FrontOptions, request: IncomingMessage): Target {
  const route = routeFor(o.routes, request.url ?? '/');
  if (route === undefined) return {};
  const address = o.addressOf(route.service);
  const { service, websocket } = route;
  return { service, websocket, ...(address !== undefined && { url: `http://${address}` }) };
}

/** Where a WebSocket connection for the request goes, if anywhere. */
function webSocketOf(o: FrontOptions, request: IncomingMessage): string | undefined {
  const { websocket, url } = targetOf(o, request);
  return websocket === undefined ? undefined : url;
}

const unavailable = (message: string): PushfleetError =>
  new PushfleetError('unavailable', message, { retryAfterMs: 1_000 });

const notFound = ({ url = '/' }: IncomingMessage): PushfleetError =>
  new PushfleetError(
    'not_found',
    `No service answers at ${quote(url.split('?', 1)[0] ?? '')}; GET /.well-known/pushfleet lists what there is.`,
  );
