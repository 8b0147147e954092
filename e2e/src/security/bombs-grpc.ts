import { once } from 'node:events';
import { connect } from 'node:http2';
import { text } from 'node:stream/consumers';
import type { Bomb } from './bombs.ts';
import { Raw } from './raw.ts';
import type { Site } from './site.ts';

// What is small to send and large to take in, said in HTTP/2.

const service = '/pushfleet.publish.v1.PublishService';
const at = (site: Site): string => site.at('publish', 'grpc');

interface Call {
  readonly path?: string;
  readonly token?: string | undefined;
  readonly more?: Readonly<Record<string, string>>;
  /** What is sent; the call stays open behind it. */
  readonly body: Buffer;
}

/** The status of a call, or of its connection's end. */
async function call(site: Site, { path = `${service}/Publish`, token, more, body }: Call): Promise<string> {
  const session = connect(`http://${at(site)}`);
  session.on('error', () => {});
  try {
    const stream = session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...more,
    });
    const ended = new Promise<string>((resolve) => {
      const status = (headers: object): void => {
        const code = (headers as Record<string, string>)['grpc-status'];
        if (code !== undefined) resolve(`status ${code}`);
      };
      stream.on('response', status).on('trailers', status);
      stream.on('error', () => resolve('the end')).on('close', () => resolve('the end'));
    });
    stream.write(body);
    void text(stream).catch(() => {});
    return await ended;
  } finally {
    session.destroy();
  }
}

/** A message of gRPC: whether it is compressed, and how long it says it is. */
function message(payload: Uint8Array, compressed = false, length = payload.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, payload]);
}

function http2Frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  http2Frame(4, 0, 0, Buffer.alloc(0)),
]);
/** Literal fields without indexing: `x: xxx…`. */
const field = Buffer.concat([Buffer.from([0, 1, 0x78, 0x7f, 0x81, 0x07]), Buffer.alloc(1_024, 'x')]);

/** Frames without end, whose answers nobody reads. */
async function flood(site: Site, frames: (count: number) => Buffer, rounds = 100): Promise<string> {
  const raw = new Raw(at(site));
  await once(raw.socket, 'connect');
  await raw.write(preface);
  for (let i = 0; i < rounds && !raw.closed; i++) {
    const stuck = new Promise<false>((resolve) => setTimeout(resolve, 1_000, false));
    if (!(await Promise.race([raw.write(frames(i)), stuck]))) break;
  }
  raw.close();
  return 'the end';
}

const thousand = (make: (at: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: 1_000 }, (_, i) => make(i)));

/** `:method POST`, `:scheme http`, `:path /`: enough of a request to be one. */
const request = Buffer.from([0x83, 0x86, 0x84]);

export const grpcBombs: readonly Bomb[] = [
  {
    name: 'gRPC: metadata of 1 MiB',
    run: async (site, { token }) => {
      const more = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`x-${i}`, 'x'.repeat(4_096)]));
      return call(site, { token, more, body: message(Buffer.alloc(0)) }).catch(() => 'the end');
    },
    expected: /^the end$/,
  },
  {
    name: 'gRPC: a message that says it has 4 GiB',
    run: (site, { token }) => call(site, { token, body: message(Buffer.alloc(1_024), false, 2 ** 32 - 1) }),
    expected: /^status 8$/,
  },
  {
    name: 'gRPC: a gzip bomb',
    run: (site, { token, gzipped }) =>
      call(site, { token, more: { 'grpc-encoding': 'gzip' }, body: message(gzipped, true) }),
    expected: /^status 8$/,
  },
  {
    name: 'gRPC: a gzip bomb of a stranger',
    run: (site, { gzipped }) =>
      call(site, { more: { 'grpc-encoding': 'gzip' }, body: message(gzipped, true) }),
    expected: /^status 16$/,
  },
  {
    name: 'gRPC: a gzip bomb for what is open to everybody',
    run: (site, { gzipped }) =>
      call(site, {
        path: '/grpc.health.v1.Health/Check',
        more: { 'grpc-encoding': 'gzip' },
        body: message(gzipped, true),
      }),
    expected: /^status 8$/,
  },
  {
    name: 'gRPC: 1,000 messages of strangers that do not come to their end',
    run: async (site) => {
      const session = connect(`http://${at(site)}`);
      session.on('error', () => {});
      await once(session, 'connect');
      const body = message(Buffer.alloc(100_000), false, 4_000_000);
      const refused = Array.from({ length: 1_000 }, () => {
        const stream = session.request({
          ...{ ':method': 'POST', ':path': `${service}/Publish`, 'content-type': 'application/grpc' },
        });
        stream.on('error', () => {});
        stream.write(body);
        // Refused, or ended with the connection, which was told to calm down.
        return new Promise((resolve) => stream.resume().once('close', resolve));
      });
      await Promise.all(refused);
      session.destroy();
      return 'the end';
    },
    expected: /^the end$/,
  },
  {
    name: 'HTTP/2: a head that goes on without end',
    run: (site) =>
      flood(site, (i) =>
        i === 0
          ? http2Frame(1, 0, 1, Buffer.concat([request, field]))
          : Buffer.concat(
              Array.from({ length: 16 }, () => http2Frame(9, 0, 1, Buffer.concat(Array(8).fill(field)))),
            ),
      ),
    expected: /^the end$/,
  },
  {
    name: 'HTTP/2: pings without end, whose answers nobody reads',
    run: (site) => flood(site, () => thousand(() => http2Frame(6, 0, 0, Buffer.alloc(8)))),
    expected: /^the end$/,
  },
  {
    name: 'HTTP/2: settings without end',
    run: (site) => flood(site, () => thousand(() => http2Frame(4, 0, 0, Buffer.alloc(0)))),
    expected: /^the end$/,
  },
  {
    name: 'HTTP/2: requests that are taken back at once',
    run: (site) =>
      flood(site, (round) =>
        thousand((i) => {
          const stream = 2 * (round * 1_000 + i) + 1;
          return Buffer.concat([
            http2Frame(1, 4, stream, request),
            http2Frame(3, 0, stream, Buffer.from([0, 0, 0, 8])),
          ]);
        }),
      ),
    expected: /^the end$/,
  },
];
