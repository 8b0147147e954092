import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PushfleetError, quote } from '@pushfleet/core';
import {
  Admission,
  type Connection,
  Connections,
  Cors,
  Credentials,
  declareWritten,
  detach,
  Listener,
  onDetached,
  type Parameters,
  parseBody,
  parseForm,
  readBody,
  Streams,
  splitTarget,
  Visit,
} from '@pushfleet/edge';
import type { Hubs } from '@pushfleet/hub';
import {
  type Deliveries,
  declareHubMetrics,
  declareRequests,
  type Log,
  type Metrics,
  type Part,
  type Quotas,
  type RegistryClient,
  type Requests,
  sendProblem,
  TimerWheel,
  type TokenCheck,
} from '@pushfleet/runtime';
import type { EdgeConfig } from './config.ts';
import { dialects } from './dialect.ts';
import { refuse, streamHeaders } from './refusal.ts';
import { parseAsk } from './request.ts';

export interface EdgeOptions {
  readonly config: EdgeConfig;
  readonly hubs: Hubs;
  readonly quotas: Pick<Quotas, 'open'>;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly tokens: TokenCheck;
  readonly registry: Pick<RegistryClient, 'redeemTicket' | 'revocations'>;
}

const methods = 'GET, HEAD, POST, QUERY, OPTIONS';

/** The server-sent events edge: listens, admits and drains. */
export class Edge implements Part {
  readonly name = 'edge-sse';
  readonly #o: EdgeOptions;
  readonly #cors: Cors;
  readonly #wheel = new TimerWheel();
  readonly #connections: Connections<Connection>;
  readonly #admission: Admission;
  readonly #requests: Requests;
  readonly #streams: Streams;
  readonly #listener: Listener;
  readonly #refused: { add(count: number, attributes: { code: string }): void };
  #draining = false;
  #stopWatching: () => void = () => {};

  constructor(options: EdgeOptions) {
    const { config, metrics, log, hubs } = options;
    this.#o = options;
    this.#cors = new Cors(config.corsOrigins);
    const shared = { wheel: this.#wheel, log };
    const { quotas } = options;
    this.#connections = new Connections({ ...shared, limits: config, quotas, noun: 'streams' });
    this.#admission = this.#makeAdmission(options);
    this.#requests = declareRequests(metrics, 'sse');
    const written = declareWritten(metrics);
    this.#streams = new Streams({ ...options, ...shared, connections: this.#connections, written });
    declareHubMetrics(metrics, hubs);
    this.#refused = metrics.counter('pushfleet_edge_refused', { description: 'Requests refused, by code.' });
    this.#listener = new Listener({
      address: config.listen,
      ...{ headerBytes: config.headerBytes, connections: config.connections, log },
      // An offer that a server may pass over; h2c and websocket have no place on this path.
      upgrades: () => false,
      onRequest: (request, response) => this.#onRequest(request, response),
    });
    onDetached(this.#listener.server, (request) => void this.#admit(request, async () => new Map()));
  }

  #makeAdmission({ config, tokens, registry }: EdgeOptions): Admission {
    return new Admission({
      connections: this.#connections,
      credentials: new Credentials({ tokens, registry, cors: this.#cors, sameSite: config.cookieSameSite }),
      isDraining: () => this.#draining,
    });
  }

  /** Streams open at this moment. */
  get size(): number {
    return this.#connections.size;
  }

  /** Where it listens, once started. */
  get address(): AddressInfo {
    return this.#listener.address;
  }

  async start(): Promise<void> {
    const { registry } = this.#o;
    await this.#listener.start();
    this.#stopWatching = registry.revocations.onRevoked(() =>
      this.#connections.endRevoked(registry.revocations),
    );
  }

  ready(): string | undefined {
    return this.#draining ? 'This instance is shutting down.' : undefined;
  }

  /**
   * Ends the streams spread over the drain window. The listener stays until the end: for some browsers a refused
   * connection is final, an answer that says "come back" is not.
   */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    await this.#connections.drain(this.#o.config.drainMs * 0.8, deadline);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.#connections.close();
    this.#wheel.close();
    await this.#listener.close();
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    response.setHeaders(new Map(Object.entries(this.#cors.headers(request.headers))));
    const refusal = this.#misdirected(request);
    if (refusal !== undefined) {
      if (refusal.code === 'method_not_allowed') response.setHeader('allow', methods);
      this.#refused.add(1, { code: refusal.code });
      sendProblem(response, refusal);
    } else if (request.method === 'HEAD') {
      response.writeHead(200, streamHeaders).end();
    } else if (request.method === 'OPTIONS') {
      response.writeHead(204, { allow: methods, ...this.#cors.preflight(request.headers) }).end();
    } else {
      this.#take(request, response);
    }
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.#listener.take(request.socket);
    if (request.method === 'GET') {
      detach(request, response);
      return;
    }
    void this.#admit(request, async () =>
      parseBody(request.headers['content-type'], await readBody(request, this.#o.config.bodyBytes)),
    );
  }

  #misdirected({ url = '', method = '' }: IncomingMessage): PushfleetError | undefined {
    if (splitTarget(url).path !== '/sse') {
      return new PushfleetError('not_found', 'Event streams are at /sse.');
    }
    if (!methods.split(', ').includes(method)) {
      return new PushfleetError(
        'method_not_allowed',
        `${quote(method)} is not a method of /sse; use ${methods}.`,
      );
    }
    const { urlBytes } = this.#o.config;
    if (url.length <= urlBytes) return undefined;
    return new PushfleetError(
      'request_invalid',
      `The request target has ${url.length} bytes; at most ${urlBytes} are read. Send the topics in the body of a POST.`,
      { detail: { limit: urlBytes } },
    );
  }

  async #admit(request: IncomingMessage, readMore: () => Promise<Parameters>): Promise<void> {
    const visit = new Visit(request, this.#cors.headers(request.headers));
    try {
      const query = splitTarget(request.url as string).query;
      const { ask, grant } = await this.#admission.admit({
        headers: visit.headers,
        read: async () =>
          parseAsk(visit.headers, [parseForm(query), await readMore()], this.#o.config.filters),
        returning: () => visit.headers['last-event-id'] !== undefined,
        onCookie: (setCookie) => {
          visit.answerHeaders['set-cookie'] = setCookie;
        },
      });
      this.#streams.open(visit, grant, ask, {
        headers: streamHeaders,
        dialect: dialects[ask.format][visit.framing],
        requests: this.#requests,
        refuse: (error) => refuse(visit, error),
      });
    } catch (thrown) {
      const error = PushfleetError.from(thrown);
      this.#requests.ended(visit.since, error);
      this.#refused.add(1, { code: error.code });
      if (error.code === 'internal') this.#o.log.error({ err: thrown }, 'a request failed');
      refuse(visit, error);
    }
  }
}
