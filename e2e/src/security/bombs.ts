import { once } from 'node:events';
import type { Transform } from 'node:stream';
import { constants, createDeflateRaw, createGzip } from 'node:zlib';
import { until } from '@pushfleet/contract';
import { frame, handshake, headOf, Raw } from './raw.ts';
import type { Site } from './site.ts';
import { httpListeners } from './slow.ts';
import { request } from './ways-http.ts';
import { bytesOf, connectPacket } from './ways-mqtt.ts';

// What is small to send and large to take in, or has no end.

export interface Bomb {
  readonly name: string;
  /** Says what came of it: an HTTP status, a close code, a reason; "the end" where nothing was said. */
  run(site: Site, o: BombOptions): Promise<string>;
  readonly expected: RegExp;
}

export interface BombOptions {
  readonly token: string;
  /** Zeros, many more than any limit allows. */
  readonly gzipped: Uint8Array<ArrayBuffer>;
  readonly deflated: Buffer;
}

/** @param bytes that the compressed bombs have, inflated */
export async function fill(token: string, bytes: number): Promise<BombOptions> {
  const level = constants.Z_BEST_COMPRESSION;
  const [gzipped, deflated] = await Promise.all([
    compressed(createGzip({ level }), bytes),
    compressed(createDeflateRaw({ level, finishFlush: constants.Z_SYNC_FLUSH }), bytes),
  ]);
  return { token, gzipped, deflated };
}

/** So many zeros, without that they are held. */
async function compressed(compressor: Transform, bytes: number): Promise<Buffer<ArrayBuffer>> {
  const whole = compressor.toArray();
  const zeros = Buffer.alloc(1_048_576);
  for (let left = bytes; left > 0; left -= zeros.length) {
    if (!compressor.write(zeros.subarray(0, Math.min(left, zeros.length)))) await once(compressor, 'drain');
  }
  compressor.end();
  return Buffer.concat(await whole);
}

/** Sends it until there is an answer that is final, or an end. */
async function send(address: string, parts: Iterable<string | Uint8Array>): Promise<string> {
  const raw = new Raw(address);
  const isOver = () => raw.closed || /^(4|closed)/.test(outcomeOf(raw.said));
  for (const part of parts) if (!(await raw.write(part)) || isOver()) break;
  await until(isOver, 'an answer to a bomb, or an end');
  raw.close();
  return outcomeOf(raw.said);
}

/** The status of an HTTP answer, and the close code behind one of 101. */
function outcomeOf(said: Buffer): string {
  const text = said.toString('latin1');
  const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
  const close = text.lastIndexOf('\x88');
  if (status === '101' && close > 0) return `closed ${said.readUInt16BE(close + 2)}`;
  return status ?? 'the end';
}

function* times<T>(count: number, part: T): Iterable<T> {
  for (let i = 0; i < count; i++) yield part;
}

const refused = /^(4\d\d|the end)$/;

/** An answer that is on its way when the connection ends may be lost; no service may answer 5xx, or none at all. */
const heads: readonly Bomb[] = Object.entries(httpListeners).flatMap(([name, at]) => [
  {
    name: `${name}: 20,000 headers`,
    run: (site) =>
      send(at(site), [
        headOf('GET /').trimEnd(),
        '\r\n',
        ...times(20, 'X-Many: 1\r\n'.repeat(1_000)),
        '\r\n',
      ]),
    expected: refused,
  },
  {
    name: `${name}: a header of 8 MiB`,
    run: (site) =>
      send(at(site), [headOf('GET /'), 'X-Long: ', ...times(128, 'x'.repeat(65_536)), '\r\n\r\n']),
    expected: refused,
  },
  {
    name: `${name}: a target of 8 MiB`,
    run: (site) => send(at(site), ['GET /', ...times(128, 'x'.repeat(65_536)), ' HTTP/1.1\r\n\r\n']),
    expected: refused,
  },
  {
    name: `${name}: a chunk whose extension has no end`,
    run: (site) =>
      send(at(site), [
        `${headOf('POST /', { 'Transfer-Encoding': 'chunked', Connection: 'close' })}\r\n1;x=`,
        ...times(128, 'x'.repeat(65_536)),
      ]),
    expected: refused,
  },
]);

interface Taker {
  readonly name: string;
  readonly url: (site: Site) => string;
  readonly type?: string;
}

const json = 'application/json';
const form = 'application/x-www-form-urlencoded';

const takers: readonly Taker[] = [
  { name: 'HTTP publish', url: (site) => `http://${site.at('publish')}/v1/topics/bombs` },
  { name: 'HTTP batch', url: (site) => `http://${site.at('publish')}/v1/publish` },
  { name: 'webhooks', url: (site) => `http://${site.at('registry')}/v1/subscriptions` },
  { name: 'revocations', url: (site) => `http://${site.at('registry')}/v1/revocations` },
  { name: 'SSE', url: (site) => `http://${site.at('edge-sse')}/sse` },
  { name: 'long polling', url: (site) => `http://${site.at('edge-longpoll')}/poll` },
  { name: 'Comet', url: (site) => `http://${site.at('edge-longpoll')}/comet/stream` },
  { name: 'Bayeux', url: (site) => `http://${site.at('edge-longpoll')}/bayeux` },
  { name: 'WebSub', url: (site) => `http://${site.at('delivery-websub')}/websub`, type: form },
];

async function post(
  taker: Taker,
  site: Site,
  token: string,
  body: string | Uint8Array<ArrayBuffer>,
  more: object = {},
): Promise<string> {
  const headers = { 'content-type': taker.type ?? json, ...more };
  const heard = await request(taker.url(site), token, { method: 'POST', body, headers });
  heard.close();
  return heard.brief;
}

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

const bodies: readonly Bomb[] = takers.flatMap((taker) => [
  {
    name: `${taker.name}: a gzip bomb`,
    run: (site, { token, gzipped }) => post(taker, site, token, gzipped, { 'content-encoding': 'gzip' }),
    expected: /^4\d\d/,
  },
  {
    name: `${taker.name}: a body that says it has 8 TiB`,
    run: (site, { token }) => {
      const [, host = '', path = ''] = /^http:\/\/([^/]+)(.*)/.exec(taker.url(site)) ?? [];
      const headers = {
        Authorization: `Bearer ${token}`,
        'Content-Type': taker.type ?? json,
        'Content-Length': String(2 ** 43),
      };
      return send(host, [`${headOf(`POST ${path}`, headers)}\r\n`, ...times(128, ' '.repeat(65_536))]);
    },
    expected: refused,
  },
  {
    name: `${taker.name}: JSON of 100,000 levels`,
    run: (site, { token }) => post(taker, site, token, nested(100_000)),
    // A payload may be whatever it is.
    expected: taker.name === 'HTTP publish' ? /^201$/ : /^4\d\d|^200$/,
  },
]);

const deepEvents: readonly Bomb[] = [
  ...(['HTTP publish', 'HTTP batch'] as const).map((name) => ({
    name: `${name}: an event whose data have 100,000 levels`,
    run: (site: Site, { token }: BombOptions) => {
      const event = `{"specversion":"1.0","id":"deep","source":"/bombs","type":"t","subject":"bombs","data":${nested(100_000)}}`;
      const [body, type] =
        name === 'HTTP publish'
          ? [event, 'application/cloudevents+json']
          : [`[${event}]`, 'application/cloudevents-batch+json'];
      return post({ ...(takers.find((one) => one.name === name) as Taker), type }, site, token, body);
    },
    expected: /^(201|200|207|4\d\d .*)$/,
  })),
  {
    name: 'HTTP batch: a draft whose payload has 100,000 levels',
    run: (site, { token }) =>
      post(
        takers[1] as Taker,
        site,
        token,
        `[{"topic":"bombs","contentType":"application/json","payload":${nested(100_000)}}]`,
      ),
    expected: /^(200|207|4\d\d .*)$/,
  },
  {
    name: 'Bayeux: data of 50,000 levels, published by a session',
    run: async (site, { token }) => {
      const taker = takers.find((one) => one.name === 'Bayeux') as Taker;
      const shake = `[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]`;
      const headers = { 'content-type': json };
      const shaken = await request(taker.url(site), token, { method: 'POST', body: shake, headers });
      const clientId = /"clientId":"([^"]+)"/.exec(shaken.text())?.[1];
      return post(
        taker,
        site,
        token,
        `[{"channel":"/bombs","clientId":"${clientId}","data":${nested(50_000)}}]`,
      );
    },
    expected: /^(200|4\d\d .*)$/,
  },
  {
    name: 'Bayeux: 20,000 messages in a request',
    run: (site, { token }) =>
      post(
        takers.find((one) => one.name === 'Bayeux') as Taker,
        site,
        token,
        `[${Array(20_000).fill('{}').join()}]`,
      ),
    expected: /^4\d\d /,
  },
  {
    name: 'SSE: 20,000 topics in a body',
    run: (site, { token }) => {
      const topic = Array.from({ length: 20_000 }, (_, at) => `t/${at}`);
      return post(takers.find((one) => one.name === 'SSE') as Taker, site, token, JSON.stringify({ topic }));
    },
    expected: /^400 too_many_filters$/,
  },
  {
    name: 'WebSub: 5,000 parameters',
    run: (site, { token }) =>
      post(takers.find((one) => one.name === 'WebSub') as Taker, site, token, 'a=&'.repeat(5_000)),
    expected: /^400/,
  },
];

interface Socket {
  readonly name: string;
  readonly at: (site: Site) => string;
  readonly path: string;
  readonly protocol: string;
  /** The largest message, and 1009 or what else stands for it. */
  readonly tooBig: RegExp;
}

const sockets: readonly Socket[] = [
  {
    name: 'WebSocket',
    at: (site) => site.at('edge-websocket'),
    path: '/ws',
    protocol: 'pushfleet.v1',
    tooBig: /1009/,
  },
  {
    name: 'Bayeux',
    at: (site) => site.at('edge-longpoll'),
    path: '/bayeux',
    protocol: 'bayeux',
    tooBig: /1009/,
  },
  {
    name: 'MQTT',
    at: (site) => site.at('edge-mqtt', 'http'),
    path: '/mqtt',
    protocol: 'mqtt',
    tooBig: /1009|the end|101/,
  },
];

const deflateOffer = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_no_context_takeover' };

function sendFrames(
  socket: Socket,
  site: Site,
  token: string | undefined,
  frames: Iterable<Uint8Array>,
  more = {},
) {
  const headers = {
    'Sec-WebSocket-Protocol': socket.protocol,
    ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    ...more,
  };
  return send(socket.at(site), [handshake(socket.path, headers), ...frames]);
}

function* endless(part: Buffer, count: number): Iterable<Uint8Array> {
  yield frame(part, { final: false });
  yield* times(count, frame(part, { opcode: 0, final: false }));
}

const frames: readonly Bomb[] = sockets.flatMap((socket) => [
  {
    name: `${socket.name}: a frame that says it has 2^62 bytes`,
    run: (site, { token }) =>
      sendFrames(socket, site, token, [frame(Buffer.alloc(10), { length: 2n ** 62n })]),
    expected: /1009/,
  },
  {
    name: `${socket.name}: a frame that says it has 1 GiB`,
    run: (site, { token }) =>
      sendFrames(socket, site, token, [
        frame(Buffer.alloc(0), { length: 2n ** 30n }),
        ...times(64, Buffer.alloc(65_536)),
      ]),
    expected: socket.tooBig,
  },
  {
    name: `${socket.name}: parts of a message without end`,
    run: (site, { token }) => sendFrames(socket, site, token, endless(Buffer.alloc(4_096, 'a'), 2_000)),
    expected: socket.tooBig,
  },
  {
    name: `${socket.name}: empty parts of a message without end`,
    run: (site) => sendFrames(socket, site, undefined, endless(Buffer.alloc(0), 300_000)),
    expected: /1008|1009|the end|4401|101/,
  },
  {
    name: `${socket.name}: a deflate bomb`,
    run: (site, { token, deflated }) =>
      sendFrames(socket, site, token, [frame(deflated, { deflated: true })], deflateOffer),
    // Those that agree on no deflating know no such frame.
    expected: socket.name === 'WebSocket' ? /1009/ : /1002|1009/,
  },
  {
    name: `${socket.name}: pings without end, whose answers nobody reads`,
    run: async (site, { token }) => {
      const raw = new Raw(socket.at(site));
      raw.socket.pause();
      const headers = { 'Sec-WebSocket-Protocol': socket.protocol, Authorization: `Bearer ${token}` };
      await raw.write(handshake(socket.path, headers));
      const pings = Buffer.concat([...times(1_000, frame(Buffer.alloc(125), { opcode: 9 }))]);
      // It is held back for as long as nothing is read, or ended.
      for (let i = 0; i < 200 && !raw.closed; i++) {
        const written = raw.write(pings);
        const stuck = new Promise<'held back'>((resolve) => setTimeout(resolve, 500, 'held back'));
        if ((await Promise.race([written, stuck])) === 'held back') break;
      }
      raw.close();
      return 'the end';
    },
    expected: /the end/,
  },
]);

const mqttAt = (site: Site): string => site.at('edge-mqtt');

/** A fixed header whose remaining length is the largest there is: 268,435,455. */
const largest = (type: number): Buffer => Buffer.from([type, 0xff, 0xff, 0xff, 0x7f]);

const connected = (token: string) => bytesOf(connectPacket(token));

const mqtt: readonly Bomb[] = [
  {
    name: 'a CONNECT that says it has 256 MiB',
    parts: () => [largest(0x10), ...times(64, Buffer.alloc(65_536))],
  },
  {
    name: 'a PUBLISH that says it has 256 MiB',
    parts: (token: string) => [connected(token), largest(0x32), ...times(64, Buffer.alloc(65_536))],
  },
  { name: 'a remaining length of ten bytes', parts: () => [Buffer.from([0x10, ...Array(10).fill(0xff)])] },
  {
    name: 'a CONNECT of 10,000 user properties',
    parts: (token: string) => {
      const userProperties = { many: Array(10_000).fill('x') };
      return [bytesOf(connectPacket(token, { properties: { userProperties } }))];
    },
  },
  {
    name: 'a SUBSCRIBE of 20,000 filters',
    parts: (token: string) => {
      const subscriptions = Array.from({ length: 20_000 }, (_, at) => ({
        topic: `t/${at}`,
        qos: 1 as const,
      }));
      return [connected(token), bytesOf({ cmd: 'subscribe', messageId: 1, subscriptions })];
    },
  },
  {
    name: 'a client identifier of 65,535 bytes',
    parts: (token: string) => [bytesOf(connectPacket(token, { clientId: 'x'.repeat(65_535) }))],
  },
  {
    name: 'a password of 65,535 bytes',
    parts: () => [bytesOf(connectPacket('x'.repeat(65_535)))],
  },
].map(({ name, parts }) => ({
  name: `MQTT: ${name}`,
  run: (site, { token }) => send(mqttAt(site), parts(token)),
  expected: /the end/,
}));

export const bombs: readonly Bomb[] = [...heads, ...bodies, ...deepEvents, ...frames, ...mqtt];
