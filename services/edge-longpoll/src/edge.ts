import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import { Admission, onDetached, Shell, splitTarget, tooLong } from '@pushfleet/edge';
import { type Part, sendProblem } from '@pushfleet/runtime';
import { Comet } from './comet/comet.ts';
import type { EdgeConfig } from './config.ts';
import type { Given, Ground, Handler, MakeHandler } from './handler.ts';
import { Polls } from './poll/polls.ts';

export interface EdgeOptions extends Given {
  /** Answers /bayeux. */
  readonly bayeux?: MakeHandler;
}

/** The edge of those who ask again and again: listens, hands each request to its path's handler, and drains. */
export class Edge implements Part {
  readonly name = 'edge-longpoll';
  readonly #shell: Shell;
  readonly #config: EdgeConfig;
  readonly #polls: Polls;
  readonly #comet: Comet;
  readonly #bayeux: Handler | undefined;

  constructor({ bayeux, ...options }: EdgeOptions) {
    this.#config = options.config;
    this.#shell = new Shell(options, {
      noun: 'connections',
      upgrades: (request) => this.#upgrades(request),
      onRequest: (request, response) => this.#onRequest(request, response),
    });
    const { wheel, cors, credentials, connections, written, isDraining, refused, listener } = this.#shell;
    const ground: Ground = {
      ...options,
      ...{ wheel, cors, credentials, connections, written, isDraining, refused },
      admission: new Admission(this.#shell),
    };
    this.#polls = new Polls(ground);
    this.#comet = new Comet(ground, (socket) => listener.take(socket));
    this.#bayeux = bayeux?.(ground);
    onDetached(listener.server, (request) => this.#comet.onDetached(request));
    listener.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      if (this.#upgrades(request)) this.#bayeux?.onUpgrade?.(request, socket, head);
    });
  }

  /** Polls that wait, streams and sessions at this moment. */
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

  async drain(deadline: AbortSignal): Promise<void> {
    await this.#shell.drain(deadline);
    await this.#bayeux?.drain?.(deadline);
  }

  async close(): Promise<void> {
    this.#bayeux?.close();
    await this.#shell.close();
  }

  #handler(path: string): Handler | undefined {
    if (path === '/poll') return this.#polls;
    if (path.startsWith('/comet/')) return this.#comet;
    return path === '/bayeux' || path.startsWith('/bayeux/') ? this.#bayeux : undefined;
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { url = '', headers } = request;
    response.setHeaders(new Map(Object.entries(this.#shell.cors.headers(headers))));
    const handler = this.#handler(splitTarget(url).path);
    const refusal = handler === undefined ? notHere() : tooLong(url, this.#config.urlBytes);
    if (refusal === undefined) handler?.onRequest(request, response);
    else {
      this.#shell.refused(refusal);
      sendProblem(response, refusal);
    }
  }

  // Offers of anything else, such as h2c, may be passed over.
  #upgrades({ url = '', headers }: IncomingMessage): boolean {
    const offered = headers.upgrade?.toLowerCase() === 'websocket';
    return offered && this.#handler(splitTarget(url).path)?.onUpgrade !== undefined;
  }
}

const notHere = (): PushfleetError =>
  new PushfleetError('not_found', 'Here are /poll, /comet/stream, /comet/frame and /bayeux.');
