import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { until, withoutOpenssl } from '@pushfleet/contract';
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import type { Site } from './site.ts';
import type { Ask, Heard, Way } from './way.ts';

type Transport = 'TCP' | 'TLS' | 'WebSocket';

/** Where MQTT is spoken by itself; where no certificate can be made, in cleartext alone. */
export const mqttListeners = withoutOpenssl ? ['mqtt'] : ['mqtt', 'mqtts'];

function open(site: Site, transport: Transport): Duplex {
  const address = site.at('edge-mqtt', { TCP: 'mqtt', TLS: 'mqtts', WebSocket: 'http' }[transport]);
  if (transport === 'WebSocket') return createWebSocketStream(new WebSocket(`ws://${address}/mqtt`, 'mqtt'));
  const [host, port] = address.split(':') as [string, string];
  if (transport === 'TLS') return connectTls({ host, port: Number(port), ca: site.authority });
  return connect({ host, port: Number(port), noDelay: true });
}

/** A connection of MQTT 5 that says packets and gathers what comes. */
export class MqttVisit {
  readonly packets: Packet[] = [];
  closed = false;
  readonly #stream: Duplex;

  constructor(site: Site, transport: Transport = 'TCP') {
    this.#stream = open(site, transport);
    const reader = parser({ protocolVersion: 5 });
    reader.on('packet', (packet) => this.packets.push(packet));
    this.#stream.on('data', (bytes: Buffer) => void reader.parse(bytes));
    this.#stream.on('error', () => {});
    for (const event of ['end', 'close']) {
      this.#stream.on(event, () => {
        this.closed = true;
      });
    }
  }

  /** Says it, and resolves to the first packet of the kind that answers it, or to that which ends the connection. */
  async ask(packet: Packet, answer: Packet['cmd']): Promise<Packet | undefined> {
    const from = this.packets.length;
    this.#stream.write(generate(packet, { protocolVersion: 5 }));
    const find = () => this.packets.slice(from).find(({ cmd }) => cmd === answer || cmd === 'disconnect');
    await until(() => find() !== undefined || this.closed, `${answer} or an end`);
    return find();
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#stream.write(bytes) && !this.closed) {
      await Promise.race([once(this.#stream, 'drain'), once(this.#stream, 'close')]);
    }
  }

  readonly text = (): string =>
    JSON.stringify(this.packets, (_, value) =>
      value?.type === 'Buffer' ? Buffer.from(value.data as number[]).toString() : value,
    );

  readonly close = (): void => void this.#stream.destroy();
}

let clients = 0;

export const connectPacket = (
  token: string | undefined,
  more: Partial<IConnectPacket> = {},
): IConnectPacket => ({
  ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, keepalive: 60, clean: true },
  clientId: `visit-${process.pid}-${clients++}`,
  ...(token !== undefined && { username: 'token', password: Buffer.from(token) }),
  properties: { userProperties: { cloudevents: 'binary' } },
  ...more,
});

interface Answered {
  readonly cmd: string;
  readonly reasonCode?: number;
  readonly granted?: readonly number[];
  readonly properties?: { readonly userProperties?: { readonly pushfleetcode?: string } };
}

/** "SUBACK 0x87 forbidden". */
export function briefOf(packet: Packet | undefined): string {
  if (packet === undefined) return 'closed';
  const { cmd, reasonCode, granted, properties } = packet as Answered;
  const reason = `0x${(granted?.[0] ?? reasonCode ?? 0).toString(16).padStart(2, '0')}`;
  const code = properties?.userProperties?.pushfleetcode;
  return [cmd.toUpperCase(), reason, ...(code === undefined ? [] : [code])].join(' ');
}

const connacks: Readonly<Record<string, string>> = { token_revoked: '0x8a' };

async function enter(
  site: Site,
  transport: Transport,
  wish: Ask,
  act: (wish: Ask) => [Packet, Packet['cmd']],
) {
  const visit = new MqttVisit(site, transport);
  const heard = (packet: Packet | undefined): Heard => ({
    brief: briefOf(packet),
    text: visit.text,
    close: visit.close,
  });
  const connack = await visit.ask(connectPacket(wish.token), 'connack');
  if ((connack as Answered | undefined)?.reasonCode !== 0) return heard(connack);
  return heard(await visit.ask(...act(wish)));
}

function subscribing({ topic, after, retained }: Ask): [Packet, Packet['cmd']] {
  const subscriptions = [{ topic, qos: 1, nl: false, rap: false, rh: retained === true ? 0 : 2 } as const];
  const properties =
    after === undefined ? {} : { properties: { userProperties: { pushfleetcursor: after } } };
  return [{ cmd: 'subscribe', messageId: 1, subscriptions, ...properties }, 'suback'];
}

function publishing({ topic, text = '' }: Ask): [Packet, Packet['cmd']] {
  return [
    { cmd: 'publish', messageId: 1, topic, payload: text, qos: 1, dup: false, retain: false },
    'puback',
  ];
}

const acts = { subscribe: subscribing, publish: publishing };
const answers = { subscribe: 'SUBACK', publish: 'PUBACK' };

const mqttWay = (transport: Transport, right: 'subscribe' | 'publish'): Way => ({
  name: `MQTT ${right} over ${transport}`,
  right,
  ...(right === 'subscribe' && { retains: true, resumes: true }),
  refusal: (code) =>
    code === 'forbidden' ? `${answers[right]} 0x87 forbidden` : `CONNACK ${connacks[code] ?? '0x86'} ${code}`,
  withoutToken: 'CONNACK 0x87',
  ...(right === 'publish' && { reserved: 'PUBACK 0x87' }),
  enter: (site, wish) => enter(site, transport, wish, acts[right]),
});

export const mqttWays: readonly Way[] = (
  withoutOpenssl ? (['TCP', 'WebSocket'] as const) : (['TCP', 'TLS', 'WebSocket'] as const)
).flatMap((transport) => [mqttWay(transport, 'subscribe'), mqttWay(transport, 'publish')]);

/** As it travels. */
export const bytesOf = (packet: Packet): Buffer => generate(packet, { protocolVersion: 5 });
