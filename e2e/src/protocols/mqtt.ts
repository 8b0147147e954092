import { connect as connectTcp, type Socket } from 'node:net';
import { type Ask, comesBack, type EdgeProtocol, type Line, Refused } from '@pushfleet/contract/edge-suite';
import { type ISubscriptionMap, MqttClient, type Packet } from 'mqtt';

/** MQTT 5 by MQTT.js, with CloudEvents in binary mode; kept from coming back by itself, and without a session. */
export const mqtt: EdgeProtocol = {
  name: 'MQTT',
  service: 'edge-mqtt',
  pulls: false,
  rewinds: true,
  cursors: true,
  async connect(address, ask, on): Promise<Line> {
    const stream = new HeldStream(address);
    const client = new MqttClient(() => stream.socket, {
      ...{ protocolVersion: 5, username: 'token', password: ask.token, reconnectPeriod: 0 },
      properties: { userProperties: { cloudevents: 'binary' } },
    });
    const { promise: stands, resolve, reject } = Promise.withResolvers<void>();
    const close = (): void => void client.end(true);
    const hear = (packet: Packet): void => {
      const said = propertiesOf(packet);
      const { pushfleetcode: code = 'cut', pushfleetcursor: cursor } = said;
      if (packet.cmd === 'disconnect') on({ kind: 'end', code, reconnect: comesBack(code) });
      if (packet.cmd === 'publish') on(arrivalOf(packet, said));
      if (packet.cmd === 'suback' && cursor !== undefined) on({ kind: 'place', cursor });
      const refused = refusalIn(packet);
      if (refused) reject(new Refused(code, refused));
      else if (packet.cmd === 'suback') resolve();
    };
    client.on('packetreceive', hear);
    client.on('connect', () => {
      const { after } = ask;
      const properties = after !== undefined && {
        properties: { userProperties: { pushfleetcursor: after } },
      };
      // A refusal is heard above.
      client.subscribe(subscriptionsOf(ask), { qos: 1, ...properties }, () => {});
    });
    client.on('error', (error) => reject(new Refused('cut', error.message)));
    client.on('close', () => {
      reject(new Refused('cut', 'the connection broke'));
      on({ kind: 'end', code: 'cut', reconnect: true });
    });
    try {
      await stands;
    } catch (error) {
      close();
      throw error;
    }
    return { close, pause: () => stream.pause(), resume: () => stream.resume() };
  },
};

/** What was lost is told by a topic of its own; retained publications are given unless Retain Handling is 2. */
const subscriptionsOf = ({ filters, retained = false }: Ask): ISubscriptionMap => {
  const options = { qos: 1, rh: retained ? 0 : 2 } as const;
  return Object.fromEntries(['$pushfleet/gap', ...filters].map((filter) => [filter, options]));
};

type Said = Readonly<Record<string, string>>;

function propertiesOf(packet: Packet): Partial<Said> {
  const { properties } = packet as { properties?: { userProperties?: Said } };
  return properties?.userProperties ?? {};
}

function arrivalOf(packet: Packet & { cmd: 'publish' }, said: Partial<Said>) {
  const { topic, payload, retain: retained } = packet;
  const text = payload.toString();
  if (topic === '$pushfleet/gap') return { kind: 'gap', ...(JSON.parse(text) as Gap) } as const;
  const { id = '', source = '', pushfleetcursor: cursor } = said;
  return { kind: 'publication', value: { id, source, topic, text, retained }, cursor } as const;
}

interface Gap {
  readonly from: string;
  readonly to: string;
}

/** Why CONNACK, SUBACK or DISCONNECT refuses; undefined where it does not. */
function refusalIn(packet: Packet): string | undefined {
  const { cmd, properties } = packet as { cmd: string; properties?: { reasonString?: string } };
  const { reasonCode = 0, granted = [] } = packet as { reasonCode?: number; granted?: number[] };
  const failed = cmd === 'disconnect' || (cmd === 'connack' && reasonCode >= 0x80);
  const refused = cmd === 'suback' && granted.some((reason) => reason >= 0x80);
  return failed || refused ? (properties?.reasonString ?? cmd) : undefined;
}

/** A connection that can be held up: while it is, nothing more is read from it. */
class HeldStream {
  readonly socket: Socket;
  #reader: NodeJS.WritableStream | undefined;

  constructor(address: string) {
    const [host, port] = address.split(':') as [string, string];
    this.socket = connectTcp({ host, port: Number(port) });
    const pipe = this.socket.pipe.bind(this.socket);
    this.socket.pipe = (reader) => {
      this.#reader = reader;
      return pipe(reader);
    };
  }

  pause(): void {
    this.socket.unpipe();
  }

  resume(): void {
    if (this.#reader !== undefined) this.socket.pipe(this.#reader);
  }
}
