import { type AddressInfo, createServer, isIP, type Server, type Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import { Connections, declareWritten } from '@pushfleet/edge';
import {
  type Address,
  ConfigError,
  declareHubMetrics,
  listening,
  type Part,
  type RegistryClient,
  TimerWheel,
} from '@pushfleet/runtime';
import { Arrival, type Unwelcome } from './arrival.ts';
import type { Violation } from './codec.ts';
import { Link, type LinkOptions } from './link.ts';
import type { Session } from './session.ts';
import { Sessions, type SessionsOptions } from './sessions.ts';

export type EdgeOptions = SessionsOptions & { readonly registry: Pick<RegistryClient, 'revocations'> };

/** The MQTT edge: listens, admits and drains. */
export class Edge implements Part {
  readonly name = 'edge-mqtt';
  readonly #o: EdgeOptions;
  readonly #wheel = new TimerWheel();
  readonly #connections: Connections<Session>;
  readonly #sessions: Sessions;
  readonly #server: Server;
  readonly #link: LinkOptions;
  /** Those whose CONNECT was not accepted yet. */
  readonly #arrivals = new Set<Arrival>();
  readonly #links = new Set<Link>();
  readonly #refusals: { add(count: number, attributes: { code: string }): void };
  #draining = false;
  #stopWatching: () => void = () => {};

  /** @throws ConfigError where it would listen in cleartext beyond this machine */
  constructor(options: EdgeOptions) {
    const { config, quotas, log, metrics, hubs } = options;
    if (!config.cleartext) requireLoopback(config.listen);
    this.#o = options;
    const wheel = this.#wheel;
    this.#connections = new Connections({ limits: config, quotas, wheel, log, noun: 'connections' });
    declareHubMetrics(metrics, hubs);
    const written = declareWritten(metrics);
    this.#refusals = metrics.counter('pushfleet_edge_refused', { description: 'Requests refused, by code.' });
    this.#sessions = new Sessions(options, { wheel, written, connections: this.#connections });
    const { packetBytes, packetFilters: filters, userProperties, packetRate } = config;
    this.#link = {
      decoder: { packetBytes, filters, userProperties },
      ...{ packetRate, wheel, now: () => performance.now() },
    };
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
    // Room for those who are only to be told to come back.
    this.#server.maxConnections = Math.ceil(config.connections * 1.1) + 100;
    this.#server.on('connection', (socket) => this.#accept(socket));
  }

  /** Connections whose client is known. */
  get size(): number {
    return this.#connections.size;
  }

  /** Those whose client is not. */
  get guests(): number {
    return this.#arrivals.size;
  }

  /** Where it listens, once started. */
  get address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  async start(): Promise<void> {
    const { config, log, registry } = this.#o;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(config.listen, () => resolve());
    });
    this.#server.removeAllListeners('error');
    this.#server.on('error', (error) => log.error({ err: error }, 'the listener failed'));
    listening(log, 'mqtt', this.#server);
    const { revocations } = registry;
    this.#stopWatching = revocations.onRevoked(() => this.#connections.endRevoked(revocations));
  }

  ready(): string | undefined {
    return this.#draining ? 'This instance is shutting down.' : undefined;
  }

  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    for (const arrival of this.#arrivals) arrival.end('draining');
    await this.#connections.drain(this.#o.config.drainMs * 0.8, deadline);
    await this.#sessions.drain();
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.#connections.close();
    for (const link of this.#links) link.destroy();
    this.#wheel.close();
    if (!this.#server.listening) return;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    const arrival: Arrival = new Arrival({
      link: () => link,
      open: (connect, isGone) => this.#open(link, connect, isGone),
      onSettled: () => {
        cancel();
        this.#arrivals.delete(arrival);
      },
      onRefused: (error) => this.#refused(error),
    });
    const link = this.#watched(socket, arrival);
    this.#arrivals.add(arrival);
    const cancel = this.#wheel.after(this.#o.config.connectMs, () => arrival.late());
  }

  // By itself, so that what a socket keeps for as long as it lives has nothing of its arrival.
  #watched(socket: Socket, arrival: Arrival): Link {
    const link = new Link(socket, arrival, this.#link);
    this.#links.add(link);
    socket.on('close', () => this.#links.delete(link));
    return link;
  }

  #open(...[link, connect, isGone]: Parameters<Sessions['open']>): ReturnType<Sessions['open']> {
    if (this.#draining) throw new PushfleetError('draining', 'This instance is shutting down.');
    this.#connections.requireRoom(this.#arrivals.size);
    return this.#sessions.open(link, connect, isGone);
  }

  #refused(error: PushfleetError | Unwelcome | Violation): void {
    const code = error instanceof PushfleetError ? error.code : 'request_invalid';
    this.#refusals.add(1, { code });
    if (code === 'internal') this.#o.log.error({ err: error }, 'a connection failed');
  }
}

/** Tokens travel on it. */
function requireLoopback({ host }: Address): void {
  const address = host === 'localhost' ? '127.0.0.1' : host;
  const loopback = address === '::1' || (isIP(address) === 4 && address.startsWith('127.'));
  if (loopback) return;
  throw new ConfigError([
    `PUSHFLEET_EDGE_MQTT_LISTEN has ${host}, where tokens would travel in cleartext. Listen on 127.0.0.1, or set PUSHFLEET_EDGE_MQTT_CLEARTEXT=true where the network encrypts.`,
  ]);
}
