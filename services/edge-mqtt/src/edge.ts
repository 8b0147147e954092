import type { AddressInfo } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import { Connections, declareWritten } from '@pushfleet/edge';
import { declareHubMetrics, type Part, type RegistryClient, TimerWheel } from '@pushfleet/runtime';
import { Arrival, type Unwelcome } from './arrival.ts';
import type { Violation } from './codec.ts';
import type { Newcomer } from './doors/caller.ts';
import { Doorstep } from './doors/doorstep.ts';
import { Entrance } from './doors/entrance.ts';
import { Link, type LinkOptions } from './doors/link.ts';
import type { Session } from './session/session.ts';
import { Sessions, type SessionsOptions } from './sessions.ts';

export type EdgeOptions = SessionsOptions & {
  readonly registry: Pick<RegistryClient, 'revocations' | 'redeemTicket'>;
};

/** The MQTT edge: listens, admits and drains. */
export class Edge implements Part {
  readonly name = 'edge-mqtt';
  readonly #o: EdgeOptions;
  readonly #wheel = new TimerWheel();
  readonly #connections: Connections<Session>;
  readonly #sessions: Sessions;
  readonly #doorstep: Doorstep;
  readonly #entrance: Entrance;
  readonly #link: LinkOptions;
  /** Those whose CONNECT was not accepted yet. */
  readonly #arrivals = new Set<Arrival>();
  readonly #links = new Set<Link>();
  readonly #refusals: { add(count: number, attributes: { code: string }): void };
  /** Those whose CONNECT is being judged. */
  #opening = 0;
  #draining = false;
  #stopWatching: () => void = () => {};

  /** @throws ConfigError where it would listen in cleartext beyond this machine, or TLS cannot be had */
  constructor(options: EdgeOptions) {
    const { config, quotas, log, metrics, hubs } = options;
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
    this.#doorstep = new Doorstep({
      ...{ guests: config.arrivals, perAddress: config.connectionsPerAddress },
      ...{ ms: config.connectMs, wheel },
    });
    this.#entrance = new Entrance({
      ...options,
      ...{ doorstep: this.#doorstep, wheel },
      onArrival: (newcomer) => this.#accept(newcomer),
      onRefused: (error) => this.#refused(error),
    });
  }

  /** Connections whose client is known. */
  get size(): number {
    return this.#connections.size;
  }

  /** Those whose client is not. */
  get guests(): number {
    return this.#doorstep.size;
  }

  /** Where it listens over TCP, once started. */
  get address(): AddressInfo {
    return this.#entrance.addresses.tcp as AddressInfo;
  }

  /** Where it listens, once started. */
  get addresses(): Entrance['addresses'] {
    return this.#entrance.addresses;
  }

  async start(): Promise<void> {
    const { revocations } = this.#o.registry;
    await this.#entrance.start();
    this.#sessions.start();
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
    this.#sessions.close();
    this.#connections.close();
    for (const link of this.#links) link.destroy();
    this.#doorstep.close();
    this.#wheel.close();
    await this.#entrance.close();
  }

  #accept(newcomer: Newcomer): void {
    const { stream, settle } = newcomer;
    const arrival: Arrival = new Arrival({
      link: () => link,
      open: (connect, guest) => this.#open(link, connect, guest),
      onSettled: () => {
        settle();
        this.#arrivals.delete(arrival);
      },
      onRefused: (error) => this.#refused(error),
      serverReference: this.#o.config.serverReference,
    });
    const link = this.#watched(newcomer, arrival);
    this.#arrivals.add(arrival);
    stream.resume();
  }

  // By itself, so that what a connection keeps for as long as it lives has nothing of its arrival.
  #watched(newcomer: Newcomer, arrival: Arrival): Link {
    const link = new Link(newcomer, arrival, this.#link);
    this.#links.add(link);
    newcomer.stream.on('close', () => this.#links.delete(link));
    return link;
  }

  async #open(...[link, connect, guest]: Parameters<Sessions['open']>): ReturnType<Sessions['open']> {
    this.#opening++;
    try {
      if (this.#draining) throw new PushfleetError('draining', 'This instance is shutting down.');
      this.#connections.requireRoom(this.#opening);
      return await this.#sessions.open(link, connect, guest);
    } finally {
      this.#opening--;
    }
  }

  #refused(error: PushfleetError | Unwelcome | Violation): void {
    const code = error instanceof PushfleetError ? error.code : 'request_invalid';
    this.#refusals.add(1, { code });
    if (code === 'internal') this.#o.log.error({ err: error }, 'a connection failed');
  }
}
