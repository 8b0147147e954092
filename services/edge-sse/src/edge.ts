import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PushfleetError, quote } from '@pushfleet/core';
import {
  Admission,
  detach,
  onDetached,
  type Parameters,
  parseBody,
  parseForm,
  readBody,
  Shell,
  type ShellGiven,
  Streams,
  splitTarget,
  tooLong,
  Visit,
} from '@pushfleet/edge';
import { type Deliveries, declareRequests, type Part, type Requests, sendProblem } from '@pushfleet/runtime';
import type { EdgeConfig } from './config.ts';
import { dialects } from './dialect.ts';
import { refuse, streamHeaders } from './refusal.ts';
import { parseAsk } from './request.ts';

export interface EdgeOptions extends ShellGiven {
  readonly config: EdgeConfig;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
}

const methods = 'GET, HEAD, POST, QUERY, OPTIONS';

/** The server-sent events edge: listens, admits and drains. */
export class Edge implements Part {
  readonly name = 'edge-sse';
  readonly #config: EdgeConfig;
  readonly #shell: Shell;
  readonly #admission: Admission;
  readonly #requests: Requests;
  readonly #streams: Streams;

  constructor(options: EdgeOptions) {
    this.#config = options.config;
    this.#shell = new Shell(options, {
      noun: 'streams',
      // An offer that a server may pass over; h2c and websocket have no place on this path.
      upgrades: () => false,
      onRequest: (request, response) => this.#onRequest(request, response),
    });
    const { wheel, connections, written, listener } = this.#shell;
    this.#admission = new Admission(this.#shell);
    this.#requests = declareRequests(options.metrics, 'sse');
    this.#streams = new Streams({ ...options, wheel, connections, written });
    onDetached(listener.server, (request) => void this.#admit(request, async () => new Map()));
  }

  /** Streams open at this moment. */
  get size(): number {
    return this.#shell.connections.size;
  }

  /** Where it listens, once started. */
  get address(): AddressInfo {
    return this.#shell.listener.address;
  }

  start(): Promise<void> {
    return this.#shell.start();
  }

  ready(): string | undefined {
    return this.#shell.ready();
  }

  drain(deadline: AbortSignal): Promise<void> {
    return this.#shell.drain(deadline);
  }

  close(): Promise<void> {
    return this.#shell.close();
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { cors } = this.#shell;
    response.setHeaders(new Map(Object.entries(cors.headers(request.headers))));
    const refusal = this.#misdirected(request);
    if (refusal !== undefined) {
      if (refusal.code === 'method_not_allowed') response.setHeader('allow', methods);
      this.#shell.refused(refusal);
      sendProblem(response, refusal);
    } else if (request.method === 'HEAD') {
      response.writeHead(200, streamHeaders).end();
    } else if (request.method === 'OPTIONS') {
      response.writeHead(204, { allow: methods, ...cors.preflight(request.headers) }).end();
    } else {
      this.#take(request, response);
    }
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.#shell.listener.take(request.socket);
    if (request.method === 'GET') {
      detach(request, response);
      return;
    }
    void this.#admit(request, async () =>
      parseBody(request.headers['content-type'], await readBody(request, this.#config.bodyBytes)),
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
    return tooLong(url, this.#config.urlBytes);
  }

  async #admit(request: IncomingMessage, readMore: () => Promise<Parameters>): Promise<void> {
    const visit = new Visit(request, this.#shell.cors.headers(request.headers));
    try {
      const query = splitTarget(request.url as string).query;
      const { ask, grant } = await this.#admission.admit({
        headers: visit.headers,
        read: async () => parseAsk(visit.headers, [parseForm(query), await readMore()], this.#config.filters),
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
      this.#requests.ended(visit.since, thrown);
      this.#shell.refused(thrown);
      refuse(visit, thrown);
    }
  }
}
