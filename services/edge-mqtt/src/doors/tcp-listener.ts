import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type Address, type Log, listening } from '@pushfleet/runtime';
import type { Doorstep, Guest } from './doorstep.ts';
import type { Networks } from './networks.ts';
import { ProxyHeaderError, readProxyHeader } from './proxy-header.ts';

export interface TcpListenerOptions {
  /** As in the line of the log that says where it listens. */
  readonly name: string;
  readonly address: Address;
  /** Most sockets at once. */
  readonly sockets: number;
  /** Whose connections begin with a PROXY header. */
  readonly proxies: Networks;
  readonly doorstep: Doorstep;
  readonly log: Log;
  /** Its bytes are the client's own from here on; they are not read yet. */
  onSocket(socket: Socket, guest: Guest): void;
  onRefused(code: 'too_many_connections' | 'request_invalid'): void;
}

/** A listener on TCP. Behind proxies that say whom they bring, a connection is that client's. */
export class TcpListener {
  readonly #o: TcpListenerOptions;
  readonly #server: Server;

  constructor(options: TcpListenerOptions) {
    this.#o = options;
    this.#server = createServer({
      ...{ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 },
    });
    this.#server.maxConnections = options.sockets;
    this.#server.on('connection', (socket) => this.#accept(socket));
  }

  /** Where it listens, once started. */
  get address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  async start(): Promise<void> {
    const { address, name, log } = this.#o;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address, () => resolve());
    });
    this.#server.removeAllListeners('error');
    this.#server.on('error', (error) => log.error({ err: error }, 'the listener failed'));
    listening(log, name, this.#server);
  }

  /** Resolves when the last socket is gone. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    socket.on('error', ignore);
    const guest = this.#o.doorstep.enter(socket);
    if (guest === undefined) this.#o.onRefused('too_many_connections');
    else if (this.#o.proxies.has(guest.address)) this.#readHeader(socket, guest);
    else this.#o.onSocket(socket, guest);
  }

  #readHeader(socket: Socket, guest: Guest): void {
    // A proxy's own connections, such as those that only look whether anybody listens, are nobody's share.
    guest.move(undefined);
    let bytes: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const header = this.#headerOf(socket, bytes);
      if (header === undefined) return;
      socket.off('data', onData);
      socket.pause();
      if (!guest.move(header.address)) {
        this.#o.onRefused('too_many_connections');
        return;
      }
      if (bytes.length > header.length) socket.unshift(bytes.subarray(header.length));
      this.#o.onSocket(socket, guest);
    };
    socket.on('data', onData);
    socket.resume();
  }

  #headerOf(socket: Socket, bytes: Buffer): ReturnType<typeof readProxyHeader> {
    try {
      return readProxyHeader(bytes);
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error;
      this.#o.log.debug({ address: socket.remoteAddress, why: error.message }, 'a proxy was not understood');
      this.#o.onRefused('request_invalid');
      socket.destroy();
      return undefined;
    }
  }
}

const ignore = (): void => {};
