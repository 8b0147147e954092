import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PushfleetError, quote } from '@pushfleet/core';
import {
  Cors,
  Credentials,
  detach,
  Listener,
  onDetached,
  type Parameters,
  parseBody,
  parseForm,
  readBody,
  splitTarget,
  Visit,
} from '@pushfleet/edge';
import {
  declareRequests,
  type Part,
  type RegistryClient,
  type Requests,
  sendProblem,
  type TokenCheck,
} from '@pushfleet/runtime';
import { refuse, streamHeaders } from './refusal.ts';
import { parseAsk } from './request.ts';
import { Streams, type StreamsOptions } from './streams.ts';

export interface EdgeOptions extends StreamsOptions {
  readonly tokens: TokenCheck;
  readonly registry: Pick<RegistryClient, 'redeemTicket' | 'revocations'>;
}

const methods = 'GET, HEAD, POST, QUERY, OPTIONS';

/** The server-sent events edge: listens, admits and drains. */
export class Edge implements Part {
  readonly name = 'edge-sse';
  readonly #o: EdgeOptions;
  readonly #cors: Cors;
  readonly #credentials: Credentials;
  readonly #requests: Requests;
  readonly #streams: Streams;
  readonly #listener: Listener;
  readonly #refused: { add(count: number, attributes: { code: string }): void };
  #waiting = 0;
  #draining = false;
  #stopWatching: () => void = () => {};

  constructor(options: EdgeOptions) {
    const { config, metrics, tokens, registry, log } = options;
    this.#o = options;
    this.#cors = new Cors(config.corsOrigins);
    this.#credentials = new Credentials({
      tokens,
      registry,
      cors: this.#cors,
      sameSite: config.cookieSameSite,
    });
    this.#requests = declareRequests(metrics, 'sse');
    this.#streams = new Streams(options, this.#requests);
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

  /** Streams open at this moment. */
  get size(): number {
    return this.#streams.size;
  }

  /** Where it listens, once started. */
  get address(): AddressInfo {
    return this.#listener.address;
  }

  async start(): Promise<void> {
    const { registry } = this.#o;
    await this.#listener.start();
    this.#stopWatching = registry.revocations.onRevoked(() => this.#streams.endRevoked(registry.revocations));
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
    await this.#streams.drain(this.#o.config.drainMs * 0.8, deadline);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.#streams.close();
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
    this.#waiting++;
    try {
      if (this.#draining) throw new PushfleetError('draining', 'This instance is shutting down.');
      this.#streams.requireRoom(this.#waiting);
      const query = parseForm(splitTarget(request.url as string).query);
      const ask = parseAsk(visit.headers, [query, await readMore()], this.#o.config.filters);
      const { grant, setCookie } = await this.#credentials.identify(visit.headers, {
        ticket: ask.ticket,
        returning: visit.headers['last-event-id'] !== undefined,
      });
      if (setCookie !== undefined) visit.answerHeaders['set-cookie'] = setCookie;
      for (const filter of ask.filters) grant.require('subscribe', filter);
      if (visit.gone) visit.socket.destroy();
      else this.#streams.open(visit, ask, grant);
    } catch (thrown) {
      const error = PushfleetError.from(thrown);
      this.#requests.ended(visit.since, error);
      this.#refused.add(1, { code: error.code });
      if (error.code === 'internal') this.#o.log.error({ err: thrown }, 'a request failed');
      refuse(visit, error);
    } finally {
      this.#waiting--;
    }
  }
}
