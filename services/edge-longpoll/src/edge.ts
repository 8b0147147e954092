import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import {
  Admission,
  type Connection,
  Connections,
  Cors,
  Credentials,
  declareWritten,
  Listener,
  onDetached,
  splitTarget,
} from '@pushfleet/edge';
import { declareHubMetrics, type Part, sendProblem, TimerWheel, type TokenCheck } from '@pushfleet/runtime';
import { Comet } from './comet/comet.ts';
import type { Ground, Handler, MakeHandler } from './handler.ts';
import { Polls } from './poll/polls.ts';

type Given = 'config' | 'hubs' | 'quotas' | 'registry' | 'deliveries' | 'log' | 'metrics';

export interface EdgeOptions extends Pick<Ground, Given> {
  readonly tokens: TokenCheck;
  /** Answers /bayeux. */
  readonly bayeux?: MakeHandler;
}

/** The edge of those who ask again and again: listens, hands each request to its path's handler, and drains. */
export class Edge implements Part {
  readonly name = 'edge-longpoll';
  readonly #ground: Ground;
  readonly #listener: Listener;
  readonly #polls: Polls;
  readonly #comet: Comet;
  readonly #bayeux: Handler | undefined;
  #draining = false;
  #stopWatching: () => void = () => {};

  constructor(options: EdgeOptions) {
    const { config, log } = options;
    this.#ground = this.#makeGround(options);
    this.#listener = new Listener({
      address: config.listen,
      ...{ headerBytes: config.headerBytes, connections: config.connections, log },
      upgrades: (request) => this.#upgrades(request),
      onRequest: (request, response) => this.#onRequest(request, response),
    });
    this.#polls = new Polls(this.#ground);
    this.#comet = new Comet(this.#ground, (socket) => this.#listener.take(socket));
    this.#bayeux = options.bayeux?.(this.#ground);
    const { server } = this.#listener;
    onDetached(server, (request) => this.#comet.onDetached(request));
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      if (this.#upgrades(request)) this.#bayeux?.onUpgrade?.(request, socket, head);
    });
    declareHubMetrics(options.metrics, options.hubs);
  }

  #makeGround({ tokens, bayeux: _, ...given }: EdgeOptions): Ground {
    const { config, registry, quotas, log, metrics } = given;
    const wheel = new TimerWheel();
    const cors = new Cors(config.corsOrigins);
    const credentials = new Credentials({ tokens, registry, cors, sameSite: config.cookieSameSite });
    const connections = new Connections<Connection>({
      ...{ limits: config, quotas, wheel, log, noun: 'connections' },
    });
    const isDraining = (): boolean => this.#draining;
    const refusals = metrics.counter('pushfleet_edge_refused', {
      description: 'Requests refused, by code.',
    });
    return {
      ...given,
      ...{ wheel, cors, credentials, connections, isDraining },
      admission: new Admission({ connections, credentials, isDraining }),
      written: declareWritten(metrics),
      refused: (thrown) => {
        const { code } = PushfleetError.from(thrown);
        refusals.add(1, { code });
        if (code === 'internal') log.error({ err: thrown }, 'a request failed');
      },
    };
  }

  /** Polls that wait, streams and sessions at this moment. */
  get size(): number {
    return this.#ground.connections.size;
  }

  /** Where it listens, once started. */
  get address(): AddressInfo {
    return this.#listener.address;
  }

  async start(): Promise<void> {
    const { registry, connections } = this.#ground;
    await this.#listener.start();
    this.#stopWatching = registry.revocations.onRevoked(() => connections.endRevoked(registry.revocations));
  }

  ready(): string | undefined {
    return this.#draining ? 'This instance is shutting down.' : undefined;
  }

  /**
   * Answers whoever waits, spread over the drain window. The listener stays until the end, for those who come
   * meanwhile are to hear that they should come back.
   */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    await this.#ground.connections.drain(this.#ground.config.drainMs * 0.8, deadline);
    await this.#bayeux?.drain?.(deadline);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.#bayeux?.close();
    this.#ground.connections.close();
    this.#ground.wheel.close();
    await this.#listener.close();
  }

  #handler(path: string): Handler | undefined {
    if (path === '/poll') return this.#polls;
    if (path.startsWith('/comet/')) return this.#comet;
    return path === '/bayeux' || path.startsWith('/bayeux/') ? this.#bayeux : undefined;
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { cors, config } = this.#ground;
    const { url = '', headers } = request;
    response.setHeaders(new Map(Object.entries(cors.headers(headers))));
    const handler = this.#handler(splitTarget(url).path);
    if (handler === undefined) this.#refuse(response, notHere());
    else if (url.length > config.urlBytes) this.#refuse(response, tooLong(url.length, config.urlBytes));
    else handler.onRequest(request, response);
  }

  // Offers of anything else, such as h2c, may be passed over.
  #upgrades({ url = '', headers }: IncomingMessage): boolean {
    const offered = headers.upgrade?.toLowerCase() === 'websocket';
    return offered && this.#handler(splitTarget(url).path)?.onUpgrade !== undefined;
  }

  #refuse(response: ServerResponse, error: PushfleetError): void {
    this.#ground.refused(error);
    sendProblem(response, error);
  }
}

const notHere = (): PushfleetError =>
  new PushfleetError('not_found', 'Here are /poll, /comet/stream, /comet/frame and /bayeux.');

const tooLong = (bytes: number, limit: number): PushfleetError =>
  new PushfleetError(
    'request_invalid',
    `The request target has ${bytes} bytes; at most ${limit} are read. Send the topics in the body of a POST.`,
    { detail: { limit } },
  );
