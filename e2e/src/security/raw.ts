import { connect, type Socket } from 'node:net';
import { until } from '@pushfleet/contract';

/** A TCP connection whose client says what it likes, and keeps no rule. */
export class Raw {
  readonly socket: Socket;
  /** Whether the other end, or the network, has ended it. */
  closed = false;
  #said: Buffer = Buffer.alloc(0);

  constructor(address: string) {
    const [host, port] = address.split(':') as [string, string];
    this.socket = connect({ host, port: Number(port), noDelay: true });
    this.socket.on('data', (bytes) => {
      this.#said = Buffer.concat([this.#said, bytes]).subarray(-mostBytes);
    });
    this.socket.on('error', () => {});
    this.socket.on('end', () => this.#over());
    this.socket.on('close', () => this.#over());
  }

  /** What came back, the end of it where it is long. */
  get said(): Buffer {
    return this.#said;
  }

  /** False where there is no need to say more: the connection has ended. Resolves once there is room again. */
  async write(bytes: string | Uint8Array): Promise<boolean> {
    if (this.closed) return false;
    if (!this.socket.write(bytes)) {
      await new Promise<void>((resolve) => {
        this.socket.once('drain', resolve).once('close', resolve);
      });
    }
    return !this.closed;
  }

  /** @throws Error where it stands for longer */
  async ended(what: string, ms = 60_000): Promise<void> {
    try {
      await until(() => this.closed, `the end of a connection: ${what}`, ms);
    } finally {
      this.close();
    }
  }

  /** Resolves once this has come. @throws Error where the connection ends before */
  async hears(what: (said: Buffer) => boolean, why: string): Promise<void> {
    await until(() => what(this.#said) || this.closed, why);
    if (!what(this.#said))
      throw new Error(`${why}: the connection ended with ${this.#said.toString('latin1')}`);
  }

  close(): void {
    this.socket.destroy();
  }

  #over(): void {
    this.closed = true;
    this.socket.destroy();
  }
}

const mostBytes = 65_536;

/** The head of a request, without the line that ends it. */
export const headOf = (line: string, headers: Readonly<Record<string, string>> = {}): string =>
  [
    `${line} HTTP/1.1`,
    'Host: fleet.example',
    ...Object.entries(headers).map((one) => one.join(': ')),
    '',
  ].join('\r\n');

/** A whole handshake of a WebSocket. */
export const handshake = (path: string, headers: Readonly<Record<string, string>> = {}): string =>
  `${headOf(`GET ${path}`, {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  })}\r\n`;

export interface FrameOptions {
  readonly opcode?: number;
  readonly final?: boolean;
  readonly deflated?: boolean;
  /** What the frame says that it has, where that is not true. */
  readonly length?: bigint;
}

/** A client's frame (RFC 6455 section 5.2); its mask is zero, so that its payload stands as it is. */
export function frame(payload: Uint8Array, o: FrameOptions = {}): Buffer {
  const { opcode = 1, final = true, deflated = false, length = BigInt(payload.length) } = o;
  const head = Buffer.alloc(14);
  head[0] = (final ? 0x80 : 0) | (deflated ? 0x40 : 0) | opcode;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(length, 2);
  return Buffer.concat([head, payload]);
}
