import { connect, type Socket } from 'node:net';
import { until } from '@pushfleet/contract';
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet';

const protocol = { protocolVersion: 5 } as const;

/** A connection of an MQTT 5 client that answers nothing by itself. */
export class RawConnection {
  readonly packets: Packet[] = [];
  /** What comes from now on; in the order in which it came. */
  onPacket: (packet: Packet) => void = () => {};
  onClose: () => void = () => {};
  closed = false;
  readonly #socket: Socket;

  constructor(address: string) {
    const [host, port] = address.split(':') as [string, string];
    this.#socket = connect({ host, port: Number(port), noDelay: true });
    const reader = parser(protocol);
    reader.on('packet', (packet) => {
      this.packets.push(packet);
      this.onPacket(packet);
    });
    this.#socket.on('data', (bytes) => void reader.parse(bytes));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.closed = true;
      this.onClose();
    });
  }

  send(...packets: readonly Packet[]): void {
    this.#socket.write(Buffer.concat(packets.map((packet) => generate(packet, protocol))));
  }

  /** Without a farewell. */
  cut(): void {
    this.#socket.resetAndDestroy();
  }

  /** The first of this kind, past or to come. @throws Error where it does not come, or the connection ends before */
  async first<K extends Packet['cmd']>(kind: K, ms = 20_000): Promise<Packet & { cmd: K }> {
    const find = () => this.packets.find((packet) => packet.cmd === kind);
    await until(() => find() !== undefined || this.closed, `a ${kind}`, ms);
    const found = find();
    if (found === undefined) throw new Error(`The connection ended before a ${kind}: ${this.told}`);
    return found as Packet & { cmd: K };
  }

  /** What came last, for a failure's report. */
  get told(): string {
    return JSON.stringify(this.packets.slice(-5));
  }
}

export interface Entry {
  readonly clientId: string;
  readonly token: string;
  readonly clean?: boolean;
  /** Session Expiry Interval in seconds; an hour unless it is said. */
  readonly expiry?: number;
  readonly receiveMaximum?: number;
  readonly will?: IConnectPacket['will'];
}

/** With CloudEvents in binary mode, so that a publication says its id. */
export function connectPacket(entry: Entry): IConnectPacket {
  const { clientId, token, clean = false, expiry = 3_600, receiveMaximum = 64, will } = entry;
  return {
    ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, keepalive: 0, clientId, clean },
    ...{ username: 'token', password: Buffer.from(token) },
    ...(will !== undefined && { will }),
    properties: {
      ...{ sessionExpiryInterval: expiry, receiveMaximum },
      userProperties: { cloudevents: 'binary' },
    },
  };
}
