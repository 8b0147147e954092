import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** What the network does; a test switches it while connections are open. */
export interface Weather {
  /**
   * What becomes of a request to upgrade: it is handed on; it is refused, as a proxy does that forbids it or knows
   * no upgrades; or nothing is heard of it again.
   */
  upgrades: 'pass' | 403 | 426 | 'hang';
  /** What becomes of the body of an event stream: each part is handed on, or all is held until the stream ends. */
  streams: 'pass' | 'hold';
  /** Every connection is cut before a word is said. */
  away: boolean;
}

export type Kind = 'websocket' | 'stream' | 'other';

interface Exchange {
  readonly kind: Kind;
  readonly near: Socket;
  /** Neither end hears of the other again, and neither is told. */
  silence(): void;
}

/** An HTTP proxy between a browser and the front, whose faults the test switches. */
export class Network {
  readonly weather: Weather = { upgrades: 'pass', streams: 'pass', away: false };
  /** Requests that came, by kind; refused ones count. */
  readonly came: Record<Kind, number> = { websocket: 0, stream: 0, other: 0 };
  readonly #front: URL;
  readonly #server = createServer({ noDelay: true }, (near, answer) => this.#request(near, answer));
  readonly #exchanges = new Set<Exchange>();
  readonly #hanging = new Set<Duplex>();

  private constructor(front: string) {
    this.#front = new URL(front);
    this.#server.on('connection', (socket) => {
      if (this.weather.away) socket.resetAndDestroy();
    });
    this.#server.on('upgrade', (near: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#upgrade(near, socket, head),
    );
    this.#server.requestTimeout = 0;
  }

  static async open(front: string): Promise<Network> {
    const network = new Network(front);
    network.#server.listen(0, '127.0.0.1');
    await once(network.#server, 'listening');
    return network;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Connections of the kind that carry something at this moment. */
  open(kind: Kind): number {
    return [...this.#exchanges].filter((exchange) => exchange.kind === kind).length;
  }

  /** Resets what is open, of one kind or of all; says how many that were. */
  cut(kind?: Kind): number {
    const hit = [...this.#exchanges].filter((exchange) => kind === undefined || exchange.kind === kind);
    for (const { near } of hit) near.resetAndDestroy();
    return hit.length;
  }

  /** What is open of the kind stays open, and carries nothing any more: a network whose state was lost. */
  silence(kind: Kind): number {
    const hit = [...this.#exchanges].filter((exchange) => exchange.kind === kind);
    for (const exchange of hit) exchange.silence();
    return hit.length;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    for (const { near } of this.#exchanges) near.destroy();
    for (const socket of this.#hanging) socket.destroy();
  }

  #request(near: IncomingMessage, answer: ServerResponse): void {
    const kind: Kind = near.url?.startsWith('/sse') ? 'stream' : 'other';
    this.came[kind]++;
    const { host, ...headers } = near.headers;
    const { hostname, port } = this.#front;
    const far = request({
      hostname,
      port,
      path: near.url,
      method: near.method,
      headers: { ...headers, host },
      agent: false,
    });
    const leave = this.#enter({ kind, near: near.socket, silence: () => far.socket?.pause() });
    // Where one side ends early the other has to learn of it.
    answer.on('close', () => {
      leave();
      far.destroy();
    });
    far.on('error', () => near.socket.destroy());
    far.on('response', (from) => {
      answer.writeHead(from.statusCode as number, from.headers);
      answer.flushHeaders();
      from.on('error', () => near.socket.destroy());
      if (kind === 'stream' && this.weather.streams === 'hold') void hold(from, answer);
      else from.pipe(answer);
    });
    near.pipe(far);
  }

  #upgrade(near: IncomingMessage, socket: Socket, head: Buffer): void {
    this.came.websocket++;
    const { upgrades } = this.weather;
    socket.on('error', () => {});
    if (upgrades === 'hang') {
      this.#hanging.add(socket);
      socket.on('close', () => this.#hanging.delete(socket));
      return;
    }
    if (upgrades !== 'pass') {
      socket.end(`HTTP/1.1 ${upgrades} Not Here\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const far = connect({ host: this.#front.hostname, port: Number(this.#front.port), noDelay: true });
    const silence = (): void => {
      for (const end of [socket, far]) end.unpipe().pause();
    };
    const leave = this.#enter({ kind: 'websocket', near: socket, silence });
    far.on('error', () => socket.destroy());
    far.write(headOf(near));
    far.write(head);
    socket.pipe(far).pipe(socket);
    far.on('close', () => socket.destroy());
    socket.on('close', () => {
      leave();
      far.destroy();
    });
  }

  #enter(exchange: Exchange): () => void {
    this.#exchanges.add(exchange);
    return () => this.#exchanges.delete(exchange);
  }
}

async function hold(from: IncomingMessage, answer: ServerResponse): Promise<void> {
  try {
    answer.end(Buffer.concat(await from.toArray()));
  } catch {
    answer.destroy();
  }
}

function headOf({ method, url, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}
