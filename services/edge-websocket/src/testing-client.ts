// Clients for this service's tests; nothing else imports it.

import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { until } from '@pushfleet/contract';
import { head } from '@pushfleet/edge/testing';
import { type ClientOptions, WebSocket } from 'ws';
import { type TestEdge, token } from './testing.ts';

/** A message of the server; those in binary frames have their payload. */
export type Said = Record<string, unknown> & { readonly type: string; readonly payload?: Buffer };

export function readSaid(data: Buffer, binary: boolean): Said {
  if (!binary) return JSON.parse(data.toString()) as Said;
  const end = 4 + data.readUInt32BE(0);
  return { ...(JSON.parse(data.subarray(4, end).toString()) as Said), payload: data.subarray(end) };
}

/** A binary message: the header's length, the header, the payload. */
export function binaryMessage(header: object, payload: Uint8Array): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, payload]);
}

/** npm's `ws` as a client that remembers what it is told. */
export class Client {
  readonly socket: WebSocket;
  readonly said: Said[] = [];
  /** The status of a handshake that was refused, and its body. */
  refused: { readonly status: number; readonly body: string } | undefined;
  closed: { readonly code: number; readonly reason: string } | undefined;
  #id = 0;

  constructor(url: string, options: ClientOptions & { readonly protocols?: string[] } = {}) {
    const { protocols = ['pushfleet.v1'], ...others } = options;
    this.socket = new WebSocket(url, protocols, others);
    this.socket.on('message', (data, binary) => this.said.push(readSaid(data as Buffer, binary)));
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    this.socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => {
        this.refused = { status: response.statusCode ?? 0, body };
      });
    });
    this.socket.on('error', () => {});
  }

  /** One that said who it is by header, and is welcome. */
  static async open(
    edge: Pick<TestEdge, 'url'>,
    claims: object = {},
    options: ClientOptions = {},
  ): Promise<Client> {
    const authorization = `Bearer ${token(claims)}`;
    const client = new Client(edge.url, { ...options, headers: { ...options.headers, authorization } });
    await client.has('welcome');
    return client;
  }

  of(type: string): readonly Said[] {
    return this.said.filter((message) => message.type === type);
  }

  /** The messages of a type, once there are so many. */
  async has(type: string, count = 1): Promise<readonly Said[]> {
    await until(
      () => this.of(type).length >= count,
      `${count} of ${type} among ${JSON.stringify(this.said).slice(0, 2_000)} ${JSON.stringify(this.closed)}`,
    );
    return this.of(type);
  }

  /** The texts of the publications, once there are so many. */
  async texts(count: number): Promise<readonly unknown[]> {
    return (await this.has('publication', count)).map(({ event }) => (event as { data?: unknown }).data);
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  /** Asks, and gives the answer. */
  async ask(message: object): Promise<Said> {
    const id = ++this.#id;
    this.send({ id, ...message });
    return this.answer(id);
  }

  async answer(id: unknown): Promise<Said> {
    const found = (): Said | undefined => this.said.find((message) => message.id === id);
    await until(
      () => found() !== undefined,
      `an answer to ${String(id)} among ${JSON.stringify(this.said).slice(0, 2_000)} ${JSON.stringify(this.closed)}`,
    );
    return found() as Said;
  }

  subscribe(filters: readonly string[], more: object = {}): Promise<Said> {
    return this.ask({ type: 'subscribe', filters, ...more });
  }

  /** How it was closed. */
  async end(): Promise<{ readonly code: number; readonly reason: string }> {
    await until(
      () => this.closed !== undefined,
      `the end of a connection that was told ${JSON.stringify(this.said).slice(0, 2_000)}`,
    );
    return this.closed as { readonly code: number; readonly reason: string };
  }

  close(code = 1000): void {
    this.socket.close(code);
  }
}

/** A frame as a client sends it, masked. `first` is the first byte: FIN, RSV and opcode. */
export function clientFrame(first: number, payload: Uint8Array | string): Buffer {
  const bytes = Buffer.from(payload as string);
  const { length } = bytes;
  const extended = Buffer.alloc(length < 126 ? 0 : length < 65_536 ? 2 : 8);
  if (extended.length === 2) extended.writeUInt16BE(length);
  else if (extended.length === 8) extended.writeBigUInt64BE(BigInt(length));
  const short = length < 126 ? length : length < 65_536 ? 126 : 127;
  const mask = randomBytes(4);
  for (let i = 0; i < length; i++) (bytes[i] as number) ^= mask[i % 4] as number;
  return Buffer.concat([Buffer.from([first, 0x80 | short]), extended, mask, bytes]);
}

/** The headers of a good handshake. */
export const handshake = (more: Record<string, string> = {}): Record<string, string> => ({
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol': 'pushfleet.v1',
  ...more,
});

/** Frames written by hand, and what comes back. */
export class RawSocket {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  ended = false;

  constructor(port: number, more: Record<string, string> = {}) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.write(head('GET /ws HTTP/1.1', handshake(more)));
    this.socket.on('data', (bytes) => {
      this.received = Buffer.concat([this.received, bytes]);
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.ended = true;
    });
  }

  /** Identified by header, and welcome. */
  static open(port: number, more: Record<string, string> = {}): Promise<RawSocket> {
    return new RawSocket(port, { Authorization: `Bearer ${token()}`, ...more }).has('"type":"welcome"');
  }

  write(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  async has(text: string | Buffer): Promise<this> {
    await until(
      () => this.received.includes(text),
      `${text.toString('latin1')} in ${this.received.toString('latin1')}`,
    );
    return this;
  }

  /** The payload of the close frame that came: the code, and the reason. */
  async closing(): Promise<{ code: number | undefined; reason: string }> {
    await until(() => this.ended, `the end of ${this.received.toString('latin1')}`);
    const frames = serverFrames(this.received.subarray(this.received.indexOf('\r\n\r\n') + 4));
    const last = frames.at(-1);
    if (last?.opcode !== 8) return { code: undefined, reason: '' };
    const code = last.payload.length === 0 ? 0 : last.payload.readUInt16BE(0);
    return { code, reason: last.payload.subarray(2).toString() };
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The unmasked frames that a server sent. */
export function serverFrames(bytes: Buffer): { first: number; opcode: number; payload: Buffer }[] {
  const frames: { first: number; opcode: number; payload: Buffer }[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const first = bytes[at] as number;
    const short = bytes[at + 1] as number;
    const start = at + (short < 126 ? 2 : short === 126 ? 4 : 10);
    const length =
      short < 126
        ? short
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : Number(bytes.readBigUInt64BE(at + 2));
    frames.push({ first, opcode: first & 0xf, payload: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return frames;
}
