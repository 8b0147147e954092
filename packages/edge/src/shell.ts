import { type Lifecycle, PushfleetError } from '@pushfleet/core';
import type { Hubs } from '@pushfleet/hub';
import {
  type Address,
  declareHubMetrics,
  type Log,
  type Metrics,
  type Quotas,
  type RegistryClient,
  TimerWheel,
  type TokenCheck,
} from '@pushfleet/runtime';
import { type Connection, type ConnectionLimits, Connections } from './connections.ts';
import { Cors } from './cors.ts';
import { Credentials, type SameSite } from './credentials.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import type { Written } from './outflow.ts';
import { declareWritten } from './streams.ts';

/** What a shell reads of an edge's configuration. */
export interface ShellConfig extends ConnectionLimits {
  readonly listen: Address;
  readonly headerBytes: number;
  readonly requestMs: number;
  readonly drainMs: number;
  readonly corsOrigins: readonly string[];
  readonly cookieSameSite: SameSite;
}

/** What an edge hands on to its shell. */
export interface ShellGiven {
  readonly config: ShellConfig;
  readonly hubs: Hubs;
  readonly quotas: Pick<Quotas, 'open'>;
  readonly tokens: TokenCheck;
  readonly registry: Pick<RegistryClient, 'redeemTicket' | 'revocations'>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What is the protocol's own. */
export interface ShellProtocol extends Pick<ListenerOptions, 'upgrades' | 'onRequest'> {
  /** What a person calls several connections: "streams". */
  readonly noun: string;
}

/**
 * What is around the protocol of every edge over HTTP: it listens, knows who comes and who is there, and ends
 * connections on revocation, drain and close.
 */
export class Shell<C extends Connection = Connection> implements Lifecycle {
  readonly wheel = new TimerWheel();
  readonly cors: Cors;
  readonly credentials: Credentials;
  readonly connections: Connections<C>;
  /** To be counted up by whatever is written to clients. */
  readonly written: Written;
  readonly listener: Listener;
  readonly #o: ShellGiven;
  readonly #refusals: { add(count: number, attributes: { code: string }): void };
  #draining = false;
  #stopWatching: () => void = () => {};

  constructor(given: ShellGiven, { noun, ...protocol }: ShellProtocol) {
    const { config, tokens, registry, quotas, metrics, log } = given;
    this.#o = given;
    this.cors = new Cors(config.corsOrigins);
    this.credentials = new Credentials({
      ...{ tokens, registry, cors: this.cors, sameSite: config.cookieSameSite },
    });
    this.connections = new Connections({ limits: config, quotas, wheel: this.wheel, log, noun });
    this.written = declareWritten(metrics);
    this.#refusals = metrics.counter('pushfleet_edge_refused', { description: 'Requests refused, by code.' });
    declareHubMetrics(metrics, given.hubs);
    const { listen: address, headerBytes, requestMs, connections } = config;
    this.listener = new Listener({ address, headerBytes, requestMs, connections, log, ...protocol });
  }

  /** From now on new requests are refused by `draining`. */
  readonly isDraining = (): boolean => this.#draining;

  /** Counts a request that was refused, by the code of what was thrown, and logs it where it is `internal`. */
  readonly refused = (thrown: unknown): void => {
    const { code } = PushfleetError.from(thrown);
    this.#refusals.add(1, { code });
    if (code === 'internal') this.#o.log.error({ err: thrown }, 'a request failed');
  };

  async start(): Promise<void> {
    const { revocations } = this.#o.registry;
    await this.listener.start();
    this.#stopWatching = revocations.onRevoked(() => this.connections.endRevoked(revocations));
  }

  ready(): string | undefined {
    return this.#draining ? 'This instance is shutting down.' : undefined;
  }

  /**
   * Ends the connections spread over the drain window. The listener stays until the end: for some browsers a refused
   * connection is final, an answer that says "come back" is not.
   */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    await this.connections.drain(this.#o.config.drainMs * 0.8, deadline);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.connections.close();
    this.wheel.close();
    await this.listener.close();
  }
}
