// What the tests of this package share; nothing else imports it.
import { createSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { createLog, createMetrics, type Metrics, type Part, readConfig } from '@pushfleet/runtime';
import { decode, encode } from 'dns-packet';
import type { CallError, Caller, OutboundAnswer, OutboundRequest } from './call.ts';
import { createCaller } from './caller.ts';
import { outboundFields } from './config.ts';

export interface CallerUnderTest {
  readonly caller: Caller & Part;
  readonly metrics: Metrics;
  /** Every line of the log. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** A POST, with what a test gives instead. */
  post(url: string, more?: Partial<OutboundRequest>): Promise<OutboundAnswer>;
  /** The error of a call that must not succeed. */
  refusal(url: string, more?: Partial<OutboundRequest>): Promise<CallError>;
}

/** A caller by these variables, each without `PUSHFLEET_OUTBOUND_`. */
export function callerWith(
  t: TestContext,
  variables: Readonly<Record<string, string>> = {},
): CallerUnderTest {
  const env = Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [`PUSHFLEET_OUTBOUND_${name}`, value]),
  );
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string): void => void lines.push(JSON.parse(line)) };
  const metrics = createMetrics();
  const log = createLog({ name: 'test', level: 'debug', destination });
  const caller = createCaller(readConfig(outboundFields, env), { log, metrics });
  t.after(async () => {
    await caller.close();
    await metrics.close();
  });
  const post: CallerUnderTest['post'] = (url, more) =>
    caller.call({ url, method: 'POST', headers: {}, body: Buffer.from('{}'), timeoutMs: 20_000, ...more });
  const refusal: CallerUnderTest['refusal'] = (url, more) =>
    post(url, more).then(
      (answer) => {
        throw new Error(`${url} was answered with ${answer.status}`);
      },
      (error: CallError) => error,
    );
  return { caller, metrics, lines, post, refusal };
}

export interface Receiver {
  readonly host: string;
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
  /** Connections that came. */
  readonly connections: number;
  /** What was read, of all connections. */
  readonly received: string;
  close(): Promise<void>;
}

/** A receiver without HTTP of its own: `serve` writes the bytes that a test is about. */
export async function startReceiver(
  t: TestContext,
  serve: (socket: Socket, request: string) => void,
  { host = '127.0.0.1', port = 0, tls }: { host?: string; port?: number; tls?: TlsOptions } = {},
): Promise<Receiver> {
  const sockets = new Set<Socket>();
  const state = { connections: 0, received: '' };
  const onSocket = (socket: Socket): void => {
    state.connections++;
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      state.received += chunk.toString('latin1');
      serve(socket, chunk.toString('latin1'));
    });
  };
  const server: Server = tls === undefined ? createServer(onSocket) : createTlsServer(tls, onSocket);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  t.after(close);
  return {
    host,
    port: (server.address() as { port: number }).port,
    sockets,
    get connections() {
      return state.connections;
    },
    get received() {
      return state.received;
    },
    close,
  };
}

/** An answer to each request. */
export const ok = (socket: Socket): void => void socket.write(answer('ok'));

export const answer = (body: string, status = '200 OK', headers = ''): string =>
  `HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;

export interface NameServer {
  /** As PUSHFLEET_OUTBOUND_RESOLVERS takes it. */
  readonly address: string;
  /** What was asked, as `A hooks.example.com`. */
  readonly questions: readonly string[];
}

/**
 * A name server on a port of its own. `answers` gives the addresses of one family for a name at the n-th question for it
 * in that family, or nothing for a name that does not exist, or `silent`.
 */
export async function startNameServer(
  t: TestContext,
  answers: (name: string, type: 'A' | 'AAAA', n: number) => readonly string[] | 'silent' | undefined,
): Promise<NameServer> {
  const socket = createSocket('udp4');
  const questions: string[] = [];
  socket.on('message', (message, from) => {
    const query = decode(message);
    const { name, type } = query.questions?.[0] ?? {};
    if (name === undefined || (type !== 'A' && type !== 'AAAA')) return;
    const question = `${type} ${name}`;
    const found = answers(name, type, questions.filter((before) => before === question).length + 1);
    questions.push(question);
    if (found === 'silent') return;
    const reply = encode({
      type: 'response',
      id: query.id ?? 0,
      // RCODE 3 of RFC 1035: the name does not exist.
      flags: 0x0180 | (found === undefined ? 3 : 0),
      questions: query.questions ?? [],
      answers: (found ?? []).map((data) => ({ type, name, data, ttl: 0 })),
    });
    socket.send(reply, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  t.after(() => socket.close());
  return { address: `127.0.0.1:${socket.address().port}`, questions };
}
