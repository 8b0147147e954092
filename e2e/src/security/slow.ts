import { setTimeout as sleep } from 'node:timers/promises';
import { handshake, headOf, Raw } from './raw.ts';
import type { Site } from './site.ts';
import { bytesOf, connectPacket, mqttListeners } from './ways-mqtt.ts';

// Who takes their time over what has to be said first, and so keeps a connection for nothing.

/** Between two crumbs, in milliseconds: several in any limit. */
const crumbMs = 250;

export interface Dawdler {
  readonly name: string;
  /** Resolves when the fleet has ended the connection. */
  run(site: Site, token: string): Promise<void>;
}

type Address = (site: Site) => string;

/** Every listener over HTTP that clients reach. */
export const httpListeners: Readonly<Record<string, Address>> = {
  publish: (site) => site.at('publish'),
  registry: (site) => site.at('registry'),
  'edge-sse': (site) => site.at('edge-sse'),
  'edge-websocket': (site) => site.at('edge-websocket'),
  'edge-longpoll': (site) => site.at('edge-longpoll'),
  'edge-mqtt over WebSocket': (site) => site.at('edge-mqtt', 'http'),
  'delivery-websub': (site) => site.at('delivery-websub'),
};

/** Says the beginning at once and goes on in crumbs, the same ones again and again. */
async function dawdle(
  address: string,
  beginning: string | Uint8Array,
  crumbs: Iterable<string | Uint8Array>,
  what: string,
) {
  const raw = new Raw(address);
  await raw.write(beginning);
  for (const crumb of crumbs) {
    if (!(await raw.write(crumb))) break;
    await sleep(crumbMs);
  }
  await raw.ended(what);
}

function* forever(text: string): Iterable<string> {
  for (;;) yield* text;
}

const singly = (bytes: Uint8Array): Iterable<Uint8Array> =>
  Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));

interface Body {
  readonly name: string;
  readonly at: Address;
  readonly line: string;
  readonly type?: string;
}

const bodies: readonly Body[] = [
  { name: 'SSE', at: (site) => site.at('edge-sse'), line: 'POST /sse' },
  { name: 'long polling', at: (site) => site.at('edge-longpoll'), line: 'POST /poll' },
  { name: 'Bayeux', at: (site) => site.at('edge-longpoll'), line: 'POST /bayeux' },
  { name: 'HTTP publish', at: (site) => site.at('publish'), line: 'POST /v1/topics/honest' },
  { name: 'HTTP batch', at: (site) => site.at('publish'), line: 'POST /v1/publish' },
  { name: 'webhooks', at: (site) => site.at('registry'), line: 'POST /v1/subscriptions' },
  {
    name: 'WebSub',
    at: (site) => site.at('delivery-websub'),
    line: 'POST /websub',
    type: 'application/x-www-form-urlencoded',
  },
];

const heads: readonly Dawdler[] = Object.entries(httpListeners).flatMap(([name, at]) => [
  { name: `${name}: nothing at all`, run: (site) => dawdle(at(site), '', [], name) },
  {
    name: `${name}: a head in crumbs`,
    run: (site) => dawdle(at(site), 'GET / HTTP/1.1\r\nHost: here\r\n', forever('X-Crumb: 1\r\n'), name),
  },
]);

const slowBodies: readonly Dawdler[] = bodies.map(({ name, at, line, type = 'application/json' }) => ({
  name: `${name}: a body in crumbs`,
  run: (site, token) => {
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': type, 'Content-Length': '9999' };
    return dawdle(at(site), `${headOf(line, headers)}\r\n`, forever(' '), name);
  },
}));

const webSockets = {
  WebSocket: { at: (site) => site.at('edge-websocket'), path: '/ws', protocol: 'pushfleet.v1' },
  'Bayeux over WebSocket': { at: (site) => site.at('edge-longpoll'), path: '/bayeux', protocol: 'bayeux' },
  'MQTT over WebSocket': { at: (site) => site.at('edge-mqtt', 'http'), path: '/mqtt', protocol: 'mqtt' },
} satisfies Record<string, { at: Address; path: string; protocol: string }>;

const slowSockets: readonly Dawdler[] = Object.entries(webSockets).flatMap(
  ([name, { at, path, protocol }]) => {
    const whole = handshake(path, { 'Sec-WebSocket-Protocol': protocol });
    return [
      {
        name: `${name}: a handshake in crumbs`,
        run: (site: Site) => dawdle(at(site), '', forever(whole.slice(0, 60)), name),
      },
      {
        name: `${name}: nothing behind the handshake`,
        run: (site: Site) => dawdle(at(site), whole, [], name),
      },
      {
        name: `${name}: a first message in crumbs`,
        // A masked text frame of 16,000 bytes.
        run: (site: Site) =>
          dawdle(at(site), whole, singly(Buffer.from([0x81, 0xfe, 0x3e, 0x80, ...Array(400).fill(0)])), name),
      },
    ];
  },
);

const slowMqtt: readonly Dawdler[] = [
  ...mqttListeners.map((name) => ({
    name: `${name}: nothing at all`,
    run: (site: Site) => dawdle(site.at('edge-mqtt', name), '', [], name),
  })),
  {
    name: 'mqtt: a CONNECT in crumbs',
    run: (site, token) => dawdle(site.at('edge-mqtt'), '', singly(bytesOf(connectPacket(token))), 'mqtt'),
  },
  ...mqttListeners.slice(1).map((name) => ({
    name: `${name}: a handshake in crumbs`,
    // A record of 16,000 bytes that begins a ClientHello.
    run: (site: Site) => dawdle(site.at('edge-mqtt', name), '\x16\x03\x01\x3e', forever('\x01'), name),
  })),
];

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

const slowGrpc: readonly Dawdler[] = [
  { name: 'gRPC: nothing at all', run: (site) => dawdle(site.at('publish', 'grpc'), '', [], 'gRPC') },
  {
    name: 'gRPC: a preface in crumbs',
    run: (site) => dawdle(site.at('publish', 'grpc'), '', singly(Buffer.from(preface)), 'gRPC'),
  },
  {
    name: 'gRPC: nothing behind the preface',
    // Empty SETTINGS, and no answer to a PING.
    run: (site) => dawdle(site.at('publish', 'grpc'), `${preface}\0\0\0\x04\0\0\0\0\0`, [], 'gRPC'),
  },
];

export const dawdlers: readonly Dawdler[] = [
  ...heads,
  ...slowBodies,
  ...slowSockets,
  ...slowMqtt,
  ...slowGrpc,
];
