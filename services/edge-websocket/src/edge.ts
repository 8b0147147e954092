import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import { head, parseForm, Shell, type ShellGiven, splitTarget, Visit } from '@pushfleet/edge';
import {
  type Agreement,
  agree,
  decline,
  isPage,
  misdirected,
  notUpgraded,
  Refusal,
  refuse,
} from '@pushfleet/edge/websocket';
import { bearer, declareRequests, type Grant, type Part, type Requests } from '@pushfleet/runtime';
import { Echo, echoProtocol } from './echo.ts';
import { farewell } from './farewell.ts';
import { Link, type LinkOptions } from './link.ts';
import { Lobby } from './lobby.ts';
import type { Session } from './session.ts';
import { Sessions, type SessionsOptions } from './sessions.ts';

export type EdgeOptions = SessionsOptions & ShellGiven;

const protocol = 'pushfleet.v1';
/** Where connections are taken. */
const path = '/ws';

/** The WebSocket edge: listens, agrees on handshakes, admits and drains. */
export class Edge implements Part {
  readonly name = 'edge-websocket';
  readonly #o: EdgeOptions;
  readonly #shell: Shell<Session>;
  readonly #requests: Requests;
  readonly #sessions: Sessions;
  readonly #link: LinkOptions;
  /** Those that are no session: who has yet to say who it is, and echoes. */
  readonly #guests = new Set<Link>();
  /** Those that were refused and have yet to go. */
  readonly #leaving = new Set<Link>();

  constructor(options: EdgeOptions) {
    const { config, metrics } = options;
    this.#o = options;
    this.#shell = new Shell(options, {
      noun: 'connections',
      upgrades: (request) => misdirected(request, path) === undefined,
      onRequest: (request, response) => this.#onRequest(request, response),
    });
    this.#requests = declareRequests(metrics, 'websocket');
    this.#sessions = new Sessions(options, this.#shell);
    this.#link = {
      messageBytes: config.messageBytes,
      messageRate: config.messageRate,
      wheel: this.#shell.wheel,
      now: () => performance.now(),
    };
    this.#shell.listener.server.on('upgrade', (request, socket, first) =>
      this.#onUpgrade(request, socket as Socket, first),
    );
  }

  /** Connections whose client is known. */
  get size(): number {
    return this.#shell.connections.size;
  }

  /** Those whose client is not: it has yet to say who it is, or is an echo. */
  get guests(): number {
    return this.#guests.size;
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
    const drained = this.#shell.drain(deadline);
    for (const { peer } of this.#guests) peer.end('draining');
    await drained;
  }

  async close(): Promise<void> {
    for (const link of [...this.#guests, ...this.#leaving]) link.destroy();
    await this.#shell.close();
  }

  /** What is no handshake at all. */
  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const refusal = misdirected(request, path) ?? notUpgraded;
    this.#shell.refused(refusal.error);
    decline(response, refusal, { path, answerHeaders: this.#shell.cors.headers(request.headers) });
  }

  #onUpgrade(request: IncomingMessage, socket: Socket, first: Buffer): void {
    socket.on('error', ignore);
    const visit = new Visit(request, this.#shell.cors.headers(request.headers));
    try {
      const { echo, deflate, messageBytes } = this.#o.config;
      const protocols = echo ? [protocol, echoProtocol] : [protocol];
      const agreement = agree(request, { protocols, deflate, messageBytes });
      void this.#admit(this.#arrive(visit, agreement), request.url ?? '', first);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#shell.refused(error.cause);
      refuse(visit, error.cause, path, error);
    }
  }

  #arrive(visit: Visit, agreement: Agreement): Arrival {
    const link = new Link(visit.socket, agreement.deflate, this.#link);
    this.#guests.add(link);
    link.onClosed = () => this.#forget(link);
    return { visit, agreement, link };
  }

  #forget(link: Link): void {
    this.#guests.delete(link);
    this.#leaving.delete(link);
  }

  async #admit(arrival: Arrival, url: string, first: Buffer): Promise<void> {
    const { visit, agreement, link } = arrival;
    try {
      this.#requireRoom();
      if (agreement.protocol === echoProtocol) {
        visit.socket.write(switching(arrival));
        link.begin(new Echo(link, agreement.deflate), first);
        return;
      }
      const grant = await this.#identify(visit, url);
      if (visit.gone) visit.socket.destroy();
      else if (grant === undefined) this.#wait(arrival, first);
      else this.#open(arrival, grant, first);
    } catch (thrown) {
      this.#refuse(arrival, PushfleetError.from(thrown));
    }
  }

  /** @throws PushfleetError `draining` or `too_many_connections` */
  #requireRoom(): void {
    if (this.#shell.isDraining()) throw new PushfleetError('draining', 'This instance is shutting down.');
    this.#shell.connections.requireRoom(this.#guests.size);
  }

  /** Who comes, by what the handshake says; undefined where it says nothing. */
  async #identify({ headers, answerHeaders }: Visit, url: string): Promise<Grant | undefined> {
    const ticket = parseForm(splitTarget(url).query)
      .get('ticket')
      ?.find((value) => value !== '');
    if (ticket === undefined && bearer(headers) === undefined) return undefined;
    const { grant, setCookie } = await this.#shell.credentials.identify(headers, {
      ticket,
      returning: false,
    });
    if (setCookie !== undefined) answerHeaders['set-cookie'] = setCookie;
    return grant;
  }

  #open(arrival: Arrival, grant: Grant, first: Buffer): void {
    const { visit, link } = arrival;
    const session = this.#session(arrival, grant);
    // The head and the welcome behind it are one packet.
    visit.socket.cork();
    visit.socket.write(switching(arrival));
    session.begin();
    visit.socket.uncork();
    link.begin(session, first);
  }

  /** @throws PushfleetError where there is no room for it */
  #session({ visit, agreement, link }: Arrival, grant: Grant): Session {
    this.#requireRoom();
    const session = this.#sessions.open(link, agreement, grant);
    this.#guests.delete(link);
    this.#requests.ended(visit.since);
    return session;
  }

  #wait(arrival: Arrival, first: Buffer): void {
    const { visit, link } = arrival;
    const { tokens, config } = this.#o;
    const lobby = new Lobby({
      ...{ tokens, wheel: this.#shell.wheel, authMs: config.authMs },
      end: (bytes) => this.#dismiss(link, bytes),
      admit: (grant) => {
        const session = this.#session(arrival, grant);
        link.peer = session;
        session.begin();
        return session;
      },
      onRefused: (error) => this.#note(visit, error),
    });
    visit.socket.write(switching(arrival));
    link.begin(lobby, first);
  }

  #refuse(arrival: Arrival, error: PushfleetError): void {
    const { visit, link } = arrival;
    this.#note(visit, error);
    const { code, message, retryAfterMs } = error;
    if (isPage(visit.headers)) {
      const bytes = Buffer.concat([switching(arrival), farewell(code, message, { retryAfterMs })]);
      this.#dismiss(link, bytes);
      return;
    }
    this.#guests.delete(link);
    this.#leaving.add(link);
    refuse(visit, error, path);
  }

  /** Ends a connection that is no session. */
  #dismiss(link: Link, bytes: Buffer): void {
    this.#guests.delete(link);
    this.#leaving.add(link);
    link.end(bytes);
  }

  #note(visit: Visit, error: PushfleetError): void {
    this.#requests.ended(visit.since, error);
    this.#shell.refused(error);
  }
}

const ignore = (): void => {};

/** A handshake that was agreed on. */
interface Arrival {
  readonly visit: Visit;
  readonly agreement: Agreement;
  readonly link: Link;
}

const switching = ({ visit, agreement }: Arrival): Buffer =>
  Buffer.from(head(101, { ...agreement.headers, ...visit.answerHeaders }));
