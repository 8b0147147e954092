import { Client } from 'undici';
import { CallError } from './call.ts';
import type { Attempt, Connector } from './connector.ts';
import type { Exchange } from './exchange.ts';
import type { Stage } from './failure.ts';
import type { Target } from './target.ts';

export interface PoolOptions {
  readonly connector: Connector;
  /** The most connections to one origin. */
  readonly connections: number;
  /** The most connections without a request, of all origins together. */
  readonly idleConnections: number;
  readonly idleMs: number;
  readonly headerBytes: number;
}

/** What is shared by the calls to one scheme, host and port. It is there while it has a connection. */
interface Origin {
  readonly target: Target;
  open: number;
  readonly idle: Connection[];
  readonly waiting: Set<Exchange>;
}

/** One connection, which has at most one request at a time. */
export class Connection {
  readonly origin: Origin;
  readonly client: Client;
  exchange: Exchange | undefined;
  /** It has had an answer before. */
  kept = false;
  #attempt: Attempt | undefined;

  constructor(origin: Origin, { connector, idleMs, headerBytes }: PoolOptions) {
    this.origin = origin;
    this.client = new Client(origin.target.origin, {
      connect: (_options, done) => {
        this.#attempt = connector.connect(origin.target, (error, socket) => {
          this.#attempt = undefined;
          if (error !== null) done(error, null);
          else if (socket !== undefined) done(null, socket);
        });
      },
      pipelining: 1,
      // HTTP/2 would be one more protocol that strangers speak to the fleet, for a request at a time.
      allowH2: false,
      maxHeaderSize: headerBytes,
      keepAliveTimeout: idleMs,
      keepAliveMaxTimeout: idleMs,
      // The exchange has one timer for all of it.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  get stage(): Stage {
    return this.#attempt?.stage ?? 'answer';
  }

  destroy(): void {
    this.#attempt?.abort(new CallError('connect', 'The connection was given up.'));
    void this.client.destroy();
  }
}

/**
 * The connections of one instance. A call takes the connection of its origin that was used last, or makes one, or
 * waits where there are enough; so nothing queues behind a request that hangs while another connection is free.
 */
export class Pool {
  readonly #options: PoolOptions;
  readonly #origins = new Map<string, Origin>();
  readonly #connections = new Set<Connection>();
  /** In the order of their last use. */
  readonly #idle = new Set<Connection>();
  /** Connections that were begun since the start. */
  opened = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#connections.size;
  }

  start(exchange: Exchange): void {
    if (this.#closed) {
      exchange.fail(stopping());
      return;
    }
    const origin = this.#origin(exchange.target);
    const connection = origin.idle.pop();
    if (connection !== undefined) {
      this.#idle.delete(connection);
      lend(connection, exchange);
    } else if (origin.open < this.#options.connections) this.#open(origin, exchange);
    else origin.waiting.add(exchange);
  }

  /** Takes back what the exchange had: its connection, for the next, or its place among those who wait. */
  end(exchange: Exchange, reusable: boolean): void {
    const { connection } = exchange;
    if (connection === undefined) {
      this.#origins.get(exchange.target.origin)?.waiting.delete(exchange);
      return;
    }
    connection.exchange = undefined;
    connection.kept = true;
    if (!reusable) this.#drop(connection);
    else if (!this.#serveNext(connection.origin, (next) => lend(connection, next))) this.#keep(connection);
  }

  /** Gives the exchange a new connection in place of one that had ended; the other kept ones may have ended as well. */
  renew(exchange: Exchange): void {
    const { connection } = exchange;
    exchange.connection = undefined;
    if (connection !== undefined) {
      connection.exchange = undefined;
      this.#drop(connection);
    }
    const origin = this.#origin(exchange.target);
    if (origin.open < this.#options.connections) this.#open(origin, exchange);
    else origin.waiting.add(exchange);
  }

  close(): void {
    this.#closed = true;
    for (const origin of this.#origins.values()) {
      for (const exchange of origin.waiting) exchange.fail(stopping());
    }
    for (const connection of this.#connections) {
      connection.exchange?.fail(stopping());
      this.#drop(connection);
    }
  }

  #origin(target: Target): Origin {
    let origin = this.#origins.get(target.origin);
    if (origin === undefined) {
      origin = { target, open: 0, idle: [], waiting: new Set() };
      this.#origins.set(target.origin, origin);
    }
    return origin;
  }

  #open(origin: Origin, exchange: Exchange): void {
    const connection = new Connection(origin, this.#options);
    connection.client.on('disconnect', () => {
      // With a request, undici ends that, or connects again for one that was not sent yet.
      if (connection.exchange === undefined) this.#drop(connection);
    });
    origin.open++;
    this.opened++;
    this.#connections.add(connection);
    lend(connection, exchange);
  }

  #keep(connection: Connection): void {
    connection.origin.idle.push(connection);
    this.#idle.add(connection);
    if (this.#idle.size <= this.#options.idleConnections) return;
    for (const oldest of this.#idle) {
      this.#drop(oldest);
      return;
    }
  }

  #drop(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    const { origin } = connection;
    if (this.#idle.delete(connection)) origin.idle.splice(origin.idle.indexOf(connection), 1);
    connection.destroy();
    origin.open--;
    const served = this.#serveNext(origin, (next) => this.#open(origin, next));
    if (!served && origin.open === 0) this.#origins.delete(origin.target.origin);
  }

  #serveNext({ waiting }: Origin, serve: (next: Exchange) => void): boolean {
    for (const next of waiting) {
      waiting.delete(next);
      serve(next);
      return true;
    }
    return false;
  }
}

const stopping = (): CallError => new CallError('connect', 'This instance of the fleet is stopping.');

function lend(connection: Connection, exchange: Exchange): void {
  connection.exchange = exchange;
  exchange.connection = connection;
  const { method, headers, body } = exchange.request;
  connection.client.dispatch({ path: exchange.target.path, method, headers, body: body ?? null }, exchange);
}
