import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
} from '@nats-io/transport-node';
import { limits, PushfleetError } from '@pushfleet/core';
import { type Block, statusOf } from './headers.ts';
import type { Log } from './log.ts';
import { rawBlock } from './raw.ts';
import { Replies } from './replies.ts';

export interface LinkOptions {
  /** Addresses of the servers, comma-separated; a user and a password may stand in the first. */
  readonly servers: string;
  /** The contents of a NATS credentials file. */
  readonly creds?: string;
  /** Shown in the server's list of connections. */
  readonly name: string;
  readonly log: Log;
}

/** A half-open connection is found after two pings. */
const pingMs = 5_000;
const connectTimeoutMs = 5_000;
const requestTimeoutMs = 2_000;
/** nats-server's status where nobody listens, such as a stream without a leader. */
const noResponders = 503;

// Spread, so that a restarted server is not met by every instance at once.
const reconnectDelay = (): number => 200 + Math.random() * 1_300;

function connectionOptions(o: LinkOptions): ConnectionOptions {
  const servers = o.servers.split(',').map((text) => text.trim());
  const first = URL.parse(servers[0]?.includes('://') ? servers[0] : `nats://${servers[0]}`);
  const user = first === null || first.username === '' ? {} : credentials(first);
  return {
    name: o.name,
    servers: servers.map((server) => server.replace(/^([a-z]+:\/\/)?[^@/]*@/, '$1')),
    timeout: connectTimeoutMs,
    pingInterval: pingMs,
    maxPingOut: 2,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: reconnectDelay,
    ignoreAuthErrorAbort: true,
    ...user,
    ...(o.creds === undefined
      ? {}
      : { authenticator: credsAuthenticator(new TextEncoder().encode(o.creds)) }),
  } as ConnectionOptions;
}

function credentials(url: URL): { user: string; pass: string } {
  return { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) };
}

/** What the bus says while the broker cannot be asked. */
export function unavailable(what: string, cause?: unknown): PushfleetError {
  return new PushfleetError('unavailable', `${what} Try again in a moment.`, { cause, retryAfterMs: 1_000 });
}

/** What the bus says while there is no connection at all. */
export class Disconnected extends PushfleetError {
  constructor() {
    super('unavailable', 'The log is out of reach. Try again in a moment.', { retryAfterMs: 1_000 });
  }
}

/** The client library would throw an error of its own, and asking again would not help. */
function requireFits({ info }: NatsConnection, size: number): void {
  const most = info?.max_payload ?? limits.payloadBytes;
  if (size <= most) return;
  throw new PushfleetError(
    'payload_too_large',
    `With its headers it has ${size} bytes; the broker takes ${most}.`,
    { detail: { limit: most } },
  );
}

/** One NATS connection that is kept for good: lost, it comes back; absent at the start, it is waited for. */
export class Link {
  readonly #options: LinkOptions;
  readonly #watchers = new Set<(up: boolean) => void>();
  #connection: NatsConnection | undefined;
  #replies: Replies | undefined;
  #up = false;
  #since = Date.now();
  #closed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Whether the connection stands at this moment. */
  get up(): boolean {
    return this.#up;
  }

  /** For how long it has been away, in milliseconds; 0 while it stands. */
  get awayMs(): number {
    return this.#up ? 0 : Date.now() - this.#since;
  }

  /** @throws PushfleetError `unavailable` where the broker was never reached */
  get connection(): NatsConnection {
    if (this.#connection === undefined || this.#closed) throw new Disconnected();
    return this.#connection;
  }

  /** Answers to requests that want more than nats-core's own one answer each. */
  get replies(): Replies {
    if (this.#replies === undefined || this.#closed) throw new Disconnected();
    return this.#replies;
  }

  /** Calls `on` at each loss and each return of the connection. */
  watch(on: (up: boolean) => void): void {
    this.#watchers.add(on);
  }

  /** Resolves once connected, or closed meanwhile. */
  async connect(): Promise<void> {
    let warned = false;
    while (!this.#closed && this.#connection === undefined) {
      try {
        await this.connectOnce();
      } catch (error) {
        if (!warned) this.#options.log.warn({ err: error }, 'NATS is out of reach; trying on');
        warned = true;
        await sleep(reconnectDelay(), undefined, { ref: false });
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#set(false);
    await this.#connection?.close();
  }

  /**
   * One question with one answer.
   *
   * @throws PushfleetError `payload_too_large` where the broker does not take so much at once; `unavailable` without an
   *   answer in time
   */
  async request(
    subject: string,
    body: string | Uint8Array = '',
    block?: Block,
    timeoutMs = requestTimeoutMs,
  ): Promise<Msg> {
    if (!this.#up) throw new Disconnected();
    const { replies, connection } = this;
    requireFits(connection, Buffer.byteLength(body) + (block?.encode().length ?? 0));
    const { promise, resolve, reject } = Promise.withResolvers<Msg>();
    const token = replies.open(resolve);
    const timer = setTimeout(reject, timeoutMs, new Error(`no answer in ${timeoutMs} ms`));
    try {
      const headers = block === undefined ? {} : { headers: block as unknown as MsgHdrs };
      connection.publish(subject, body, { reply: replies.subject(token), ...headers });
      const answer = await promise;
      if (answer.data.length === 0 && statusOf(rawBlock(answer)) === noResponders) {
        throw new Error('nobody is there to answer');
      }
      return answer;
    } catch (error) {
      throw unavailable('The log does not answer.', error);
    } finally {
      clearTimeout(timer);
      replies.close(token);
    }
  }

  /** @throws Error where no server can be reached now */
  async connectOnce(): Promise<void> {
    const connection = await connect(connectionOptions(this.#options));
    if (this.#closed) return connection.close();
    this.#connection = connection;
    this.#replies = new Replies(connection);
    void this.#follow(connection);
    this.#set(true);
  }

  async #follow(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') this.#set(false);
      else if (status.type === 'reconnect') this.#set(true);
      else if (status.type === 'error')
        this.#options.log.warn({ err: status.error }, 'NATS reports an error');
    }
  }

  #set(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    this.#since = Date.now();
    for (const on of this.#watchers) on(up);
  }
}
