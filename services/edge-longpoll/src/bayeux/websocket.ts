import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import { firstOf, parseForm, splitTarget, Visit } from '@pushfleet/edge';
import type { RevocationList } from '@pushfleet/runtime';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Ground } from '../handler.ts';
import { identify, lasting } from './caller.ts';
import type { Exchange } from './exchange.ts';
import { Link } from './link.ts';

export interface SocketsOptions {
  readonly ground: Pick<Ground, 'config' | 'credentials' | 'cors' | 'refused' | 'isDraining' | 'wheel'>;
  readonly exchange: Pick<Exchange, 'answer'>;
  readonly revocations: Pick<RevocationList, 'revoked'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** Most messages of one frame. */
  readonly messages: number;
  /** How long a client may be silent, in milliseconds. */
  readonly silenceMs: number;
  /** How long one without a session may stay, in milliseconds. */
  readonly beginMs: number;
  /** Most that have no session and brought no token. */
  readonly strangers: number;
}

const subprotocol = 'bayeux';

/** The transport websocket, as cometd and faye speak it: each text message is an array of Bayeux messages. */
export class Sockets {
  readonly #o: SocketsOptions;
  readonly #server: WebSocketServer;
  readonly #links = new Set<Link>();
  readonly #strangers = new Set<WebSocket>();
  readonly #cookies = new WeakMap<IncomingMessage, string>();

  constructor(options: SocketsOptions) {
    this.#o = options;
    this.#server = new WebSocketServer({
      ...{ noServer: true, clientTracking: false, perMessageDeflate: false },
      maxPayload: options.ground.config.bodyBytes,
      handleProtocols: (offered) => offered.has(subprotocol) && subprotocol,
    });
    this.#server.on('headers', (lines, request) => {
      const cookie = this.#cookies.get(request);
      if (cookie !== undefined) lines.push(`Set-Cookie: ${cookie}`);
    });
  }

  /** Open at this moment. */
  get size(): number {
    return this.#links.size;
  }

  onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', ignore);
    void this.#open(request, socket, head);
  }

  /** Those that are left have no session here. What was answered goes out first. */
  drain(): void {
    setImmediate(() => {
      for (const link of this.#links) link.restart();
    });
  }

  close(): void {
    for (const link of this.#links) link.cut();
  }

  async #open(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const { credentials, cors } = this.#o.ground;
    try {
      this.#requireRoom();
      const ticket = firstOf([parseForm(splitTarget(request.url as string).query)], 'ticket');
      const who = await identify(credentials, request.headers, ticket);
      if (who.visitor === undefined) this.#requireRoomForStrangers();
      if (who.setCookie !== undefined) this.#cookies.set(request, who.setCookie);
      socket.off('error', ignore);
      this.#server.handleUpgrade(request, socket, head, (webSocket) => this.#link(webSocket, socket, who));
    } catch (thrown) {
      this.#o.ground.refused(thrown);
      new Visit(request, cors.headers(request.headers)).refuse(thrown, '/bayeux');
    }
  }

  #requireRoom(): void {
    const { config, isDraining } = this.#o.ground;
    if (isDraining()) throw new PushfleetError('draining', 'This instance is shutting down.');
    if (this.#links.size < config.connections) return;
    throw new PushfleetError('too_many_connections', 'This instance holds its most WebSockets.');
  }

  #requireRoomForStrangers(): void {
    if (this.#strangers.size < this.#o.strangers) return;
    throw new PushfleetError(
      'too_many_connections',
      'This instance holds its most WebSockets of clients that have not shaken hands yet; a token in the request avoids it.',
    );
  }

  #link(webSocket: WebSocket, socket: Socket, who: Awaited<ReturnType<typeof identify>>): void {
    const isStranger = who.visitor === undefined;
    const link = new Link(webSocket, socket, {
      ...{ ...this.#o, who: lasting(who, this.#o), wheel: this.#o.ground.wheel },
      onKnown: (known) => {
        if (known) this.#strangers.delete(webSocket);
        else if (isStranger) this.#strangers.add(webSocket);
      },
    });
    this.#links.add(link);
    if (isStranger) this.#strangers.add(webSocket);
    webSocket.once('close', () => {
      this.#links.delete(link);
      this.#strangers.delete(webSocket);
    });
  }
}

const ignore = (): void => {};
