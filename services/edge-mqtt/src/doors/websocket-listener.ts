import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, isIP, type Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import { Cors, Credentials, head, Listener, parseForm, splitTarget, Visit } from '@pushfleet/edge';
import {
  type Agreement,
  agree,
  decline,
  misdirected,
  notUpgraded,
  Refusal,
  refuse,
} from '@pushfleet/edge/websocket';
import { bearer, type Grant, type Log, type RegistryClient, type TokenCheck } from '@pushfleet/runtime';
import type { EdgeConfig } from '../config.ts';
import type { Newcomer } from './caller.ts';
import type { Doorstep, Guest } from './doorstep.ts';
import { WebSocketStream, type WebSocketStreamOptions } from './websocket-stream.ts';

export interface WebSocketListenerOptions {
  readonly config: EdgeConfig;
  readonly sockets: number;
  readonly stream: WebSocketStreamOptions;
  readonly tokens: TokenCheck;
  readonly registry: Pick<RegistryClient, 'redeemTicket'>;
  readonly doorstep: Doorstep;
  readonly log: Log;
  onArrival(newcomer: Newcomer): void;
  onRefused(error: PushfleetError): void;
}

/** Where connections are taken. */
const path = '/mqtt';
const protocol = 'mqtt';
/** What clients offer that know 3.1 alone. */
const oldProtocol = 'mqttv3.1';

/**
 * MQTT over WebSocket (MQTT 5 section 6). A handshake is refused for what is wrong with it; who may not come in hears so
 * in CONNACK, which a page can read.
 */
export class WebSocketListener {
  readonly #o: WebSocketListenerOptions;
  readonly #listener: Listener;
  readonly #cors: Cors;
  readonly #credentials: Credentials;
  readonly #guests = new WeakMap<Socket, Guest>();
  /** Those that the HTTP server has nothing to do with any more. */
  readonly #upgraded = new Set<Socket>();

  constructor(options: WebSocketListenerOptions) {
    const { config, doorstep, tokens, registry, log } = options;
    this.#o = options;
    this.#cors = new Cors(config.corsOrigins);
    this.#credentials = new Credentials({
      ...{ tokens, registry, cors: this.#cors, sameSite: config.cookieSameSite },
    });
    this.#listener = new Listener({
      ...{ address: config.webSocketListen, headerBytes: config.headerBytes, log },
      requestMs: config.requestMs,
      connections: options.sockets,
      upgrades: (request) => misdirected(request, path) === undefined,
      onRequest: (request, response) => this.#onRequest(request, response),
    });
    const { server } = this.#listener;
    server.on('connection', (socket: Socket) => {
      const guest = doorstep.enter(socket);
      if (guest !== undefined) this.#guests.set(socket, guest);
      else options.onRefused(crowded());
    });
    server.on('upgrade', (request, socket, first) => void this.#onUpgrade(request, socket as Socket, first));
  }

  /** Where it listens, once started. */
  get address(): AddressInfo {
    return this.#listener.address;
  }

  start(): Promise<void> {
    return this.#listener.start();
  }

  async close(): Promise<void> {
    for (const socket of this.#upgraded) socket.destroy();
    await this.#listener.close();
  }

  /** What is no handshake at all. */
  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const refusal = misdirected(request, path) ?? notUpgraded;
    this.#o.onRefused(refusal.error);
    decline(response, refusal, { path, answerHeaders: this.#cors.headers(request.headers) });
  }

  async #onUpgrade(request: IncomingMessage, socket: Socket, first: Buffer): Promise<void> {
    socket.on('error', ignore);
    this.#upgraded.add(socket);
    socket.once('close', () => this.#upgraded.delete(socket));
    const visit = new Visit(request, this.#cors.headers(request.headers));
    const guest = this.#guests.get(socket);
    if (guest === undefined) return;
    if (!this.#locate(request, guest)) {
      this.#o.onRefused(crowded());
      return;
    }
    const agreement = this.#agree(request, visit);
    if (agreement === undefined) return;
    const visitor = await this.#identify(visit, request.url ?? '');
    if (visit.gone) {
      socket.destroy();
      return;
    }
    socket.write(head(101, { ...agreement.headers, ...visit.answerHeaders }));
    const stream = new WebSocketStream(socket, this.#o.stream);
    const caller = { transport: 'websocket', address: guest.address, visitor } as const;
    this.#o.onArrival({ stream, caller, settle: () => guest.settle() });
    stream.begin(first);
  }

  /** Which client a proxy brings. False: there is no room for it. */
  #locate({ headers }: IncomingMessage, guest: Guest): boolean {
    const { forwarders } = this.#o.config;
    if (!forwarders.has(guest.address)) return true;
    // Each proxy appends whom it heard from: the last one that no trusted proxy is, is who came.
    const said = String(headers['x-forwarded-for'] ?? '').split(',');
    const address = said.map((one) => one.trim()).findLast((one) => !forwarders.has(one));
    return guest.move(address !== undefined && isIP(address) !== 0 ? address : undefined);
  }

  #agree(request: IncomingMessage, visit: Visit): Agreement | undefined {
    try {
      const { messageBytes } = this.#o.stream;
      // [MQTT-6.0.0-4]: whoever offers both gets this one, in whichever order they are.
      const offers = String(request.headers['sec-websocket-protocol']).split(',');
      const isOld =
        !offers.some((offer) => offer.trim() === protocol) &&
        offers.some((offer) => offer.trim() === oldProtocol);
      return agree(request, { protocols: [isOld ? oldProtocol : protocol], deflate: false, messageBytes });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#o.onRefused(error.cause);
      refuse(visit, error.cause, path, error);
      return undefined;
    }
  }

  /** Who comes, by what the handshake says; undefined where it says nothing. */
  async #identify(
    { headers, answerHeaders }: Visit,
    url: string,
  ): Promise<Grant | PushfleetError | undefined> {
    try {
      const ticket = parseForm(splitTarget(url).query)
        .get('ticket')
        ?.find((value) => value !== '');
      if (ticket === undefined && bearer(headers) === undefined) return undefined;
      const who = await this.#credentials.identify(headers, { ticket, returning: false });
      if (who.setCookie !== undefined) answerHeaders['set-cookie'] = who.setCookie;
      return who.grant;
    } catch (error) {
      return PushfleetError.from(error);
    }
  }
}

const ignore = (): void => {};

const crowded = (): PushfleetError =>
  new PushfleetError('too_many_connections', 'There is no room at the door.');
