import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import type { Log } from '@pushfleet/runtime';
import { parseIp } from './address.ts';
import type { AllowList } from './allow.ts';
import { CallError } from './call.ts';
import { explain, type Stage, tooLate } from './failure.ts';
import type { Resolve } from './resolver.ts';
import { judgeAddresses, Refusal, type Target } from './target.ts';

/** Makes the way through a proxy: a socket on which the target's host is at the other end. */
export type Tunnel = (target: Target, signal: AbortSignal) => Promise<Socket>;

export interface ConnectorOptions {
  readonly allow: AllowList;
  readonly resolve: Resolve;
  readonly secureContext: SecureContext;
  readonly connectMs: number;
  readonly tunnel: Tunnel | undefined;
  readonly log: Log;
}

/** A connection that is being made. */
export interface Attempt {
  readonly stage: Stage;
  /** Gives it up, with this as the reason. */
  abort(reason: Error): void;
}

/**
 * Connects to a target, to exactly the addresses that were judged: a name is looked up once, and the socket is asked
 * where it ended before a byte is sent. Certificates are always verified, for the name in the URL.
 */
export class Connector {
  readonly #options: ConnectorOptions;

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /** Calls back once, with a CallError or a socket that is ready for a request. */
  connect(target: Target, done: (error: Error | null, socket?: Socket) => void): Attempt {
    const { connectMs, log } = this.#options;
    const way = new Way();
    const timer = setTimeout(() => way.abort(tooLate(target.host, connectMs, way.stage)), connectMs);
    this.#run(target, way)
      .finally(() => clearTimeout(timer))
      .then(
        (socket) => done(null, socket),
        (thrown: unknown) => {
          way.socket?.destroy();
          const error = explain(target.host, way.stage, thrown);
          if (thrown instanceof Refusal) {
            log.warn({ host: target.host, address: thrown.address, rule: thrown.rule }, 'refused to connect');
          } else {
            log.debug(
              { host: target.host, stage: way.stage, failure: error.failure, err: thrown },
              'not connected',
            );
          }
          done(error);
        },
      );
    return way;
  }

  async #run(target: Target, way: Way): Promise<Socket> {
    const { tunnel } = this.#options;
    const socket =
      tunnel === undefined ? await this.#direct(target, way) : await this.#tunnelled(target, way, tunnel);
    return target.secure ? await this.#secured(target, way, socket) : socket;
  }

  async #direct(target: Target, way: Way): Promise<Socket> {
    const { allow, resolve } = this.#options;
    const addresses = await way.race(resolve(target));
    judgeAddresses(target, addresses, allow);
    way.stage = 'connect';
    const socket = connectTcp({
      host: target.host,
      port: target.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      autoSelectFamily: true,
      // Not a lookup: what was judged is handed over. (A literal is not looked up at all.)
      lookup: (_host, _options, callback) =>
        callback(
          null,
          addresses.map((address) => ({ address, family: isIP(address) })),
        ),
    });
    await way.ready(socket, 'connect');
    checkPeer(socket, addresses);
    return socket;
  }

  async #tunnelled(target: Target, way: Way, tunnel: Tunnel): Promise<Socket> {
    way.stage = 'proxy';
    way.socket = await way.race(tunnel(target, way.signal));
    return way.socket;
  }

  async #secured(target: Target, way: Way, socket: Socket): Promise<Socket> {
    way.stage = 'tls';
    const secure = connectTls({
      socket,
      host: target.host,
      // RFC 6066: a server name is never an address.
      ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
      secureContext: this.#options.secureContext,
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
    });
    await way.ready(secure, 'secureConnect');
    return secure;
  }
}

/**
 * The last look before bytes are sent: whatever lay between the judgement and the socket, this is where it ended.
 *
 * @throws CallError
 */
export function checkPeer(socket: Pick<Socket, 'remoteAddress'>, addresses: readonly string[]): void {
  const peer = socket.remoteAddress;
  const normal = (text: string): string => parseIp(text).toString();
  if (peer === undefined) throw new CallError('connect', 'The connection ended as soon as it was made.');
  if (!addresses.some((address) => normal(address) === normal(peer))) {
    throw new Refusal(
      'name',
      'The connection ended at another address than the one that was looked up.',
      peer,
    );
  }
}

class Way implements Attempt {
  stage: Stage = 'lookup';
  socket: Socket | undefined;
  readonly #controller = new AbortController();
  readonly signal = this.#controller.signal;
  #giveUp: (reason: Error) => void = () => {};
  readonly #given = new Promise<never>((_resolve, reject) => {
    this.#giveUp = reject;
  });

  constructor() {
    this.#given.catch(() => {});
  }

  abort(reason: Error): void {
    this.#giveUp(reason);
    this.#controller.abort(reason);
    this.socket?.destroy();
  }

  race<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#given]);
  }

  async ready(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
    this.socket = socket;
    const settled = Promise.withResolvers<void>();
    const closed = (): void => settled.reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    socket.once(event, settled.resolve).once('error', settled.reject).once('close', closed);
    try {
      await this.race(settled.promise);
    } finally {
      socket.off(event, settled.resolve).off('close', closed).off('error', settled.reject);
      // What comes between here and the next listener must not end the process.
      socket.on('error', () => {});
    }
  }
}
