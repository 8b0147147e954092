import { Framer } from './framer.ts';
import type { FilterName } from './names.ts';
import type {
  AckType,
  ClientPacket,
  Connect,
  Publish,
  Qos,
  ServerPacket,
  Suback,
  Subscribe,
  Unsubscribe,
} from './packet.ts';
import { noProperties, type Place, type Properties, readProperties, writeProperties } from './properties.ts';
import { Reader } from './reader.ts';
import type { Reason } from './reason.ts';
import type { Version } from './violation.ts';
import { Writer } from './writer.ts';

// A client's half of the codec, for tests. It writes every optional field out, and it writes what it is given.

const writer = new Writer();

const firstBytes: Readonly<Record<Exclude<ClientPacket['type'], 'publish'>, number>> = {
  connect: 0x10,
  puback: 0x40,
  pubrec: 0x50,
  pubrel: 0x62,
  pubcomp: 0x70,
  subscribe: 0x82,
  unsubscribe: 0xa2,
  pingreq: 0xc0,
  disconnect: 0xe0,
  auth: 0xf0,
};

/** A packet as a client of this version sends it. */
export function encodeFromClient(packet: ClientPacket, version: Version): Buffer {
  writer.begin();
  switch (packet.type) {
    case 'connect':
      writeConnect(packet);
      break;
    case 'publish':
      writePublish(packet, version);
      return writer.packet(0x30 | (packet.dup ? 8 : 0) | (packet.qos << 1) | (packet.retain ? 1 : 0));
    case 'subscribe':
      writeSubscribe(packet, version);
      break;
    case 'unsubscribe':
      writeUnsubscribe(packet, version);
      break;
    case 'pingreq':
      break;
    case 'disconnect':
    case 'auth':
      if (version === 5) writer.u8(packet.reason);
      write5(version, packet.type, packet.properties);
      break;
    default:
      writer.u16(packet.packetId);
      if (version === 5) writer.u8(packet.reason);
      write5(version, 'outcome', packet.properties);
  }
  return writer.packet(firstBytes[packet.type]);
}

function write5<P extends Place>(version: Version, place: P, properties: object): void {
  if (version === 5) writer.measured(() => writeProperties(writer, place, properties as Properties<P>));
}

function writeConnect(packet: Connect): void {
  const { version, will, userName, password } = packet;
  writer.text(version === 3 ? 'MQIsdp' : 'MQTT');
  writer.u8(version);
  const willFlags = will === undefined ? 0 : 0x04 | (will.qos << 3) | (will.retain ? 0x20 : 0);
  const given = (userName === undefined ? 0 : 0x80) | (password === undefined ? 0 : 0x40);
  writer.u8(given | willFlags | (packet.cleanStart ? 0x02 : 0));
  writer.u16(packet.keepAlive);
  write5(version, 'connect', packet.properties);
  writer.text(packet.clientId);
  if (will !== undefined) {
    write5(version, 'will', will.properties);
    writer.text(will.topic);
    writer.binary(will.payload);
  }
  if (userName !== undefined) writer.text(userName);
  if (password !== undefined) writer.binary(password);
}

function writePublish({ topic, packetId, properties, payload }: Publish, version: Version): void {
  writer.text(topic ?? '');
  if (packetId !== undefined) writer.u16(packetId);
  write5(version, 'publish', properties);
  writer.raw(payload);
}

const joined = ({ share, filter }: FilterName): string =>
  share === undefined ? filter : `$share/${share}/${filter}`;

function writeSubscribe({ packetId, properties, subscriptions }: Subscribe, version: Version): void {
  writer.u16(packetId);
  write5(version, 'subscribe', properties);
  for (const one of subscriptions) {
    writer.text(joined(one));
    const flags = (one.noLocal ? 0x04 : 0) | (one.retainAsPublished ? 0x08 : 0);
    writer.u8(one.qos | flags | (one.retainHandling << 4));
  }
}

function writeUnsubscribe({ packetId, properties, filters }: Unsubscribe, version: Version): void {
  writer.u16(packetId);
  write5(version, 'unsubscribe', properties);
  for (const one of filters) writer.text(joined(one));
}

/** What a client receives: every field is there, whatever the server left out. */
export type Received = ServerPacket | Publish;

const any = { first: () => {}, size: () => {} };
const most = 1_000;

/** Reads what a server sent to a client of this version, all of it. */
export function readFromServer(bytes: Buffer, version: Version): readonly Received[] {
  const framer = new Framer(any);
  const reader = new Reader();
  reader.version = version;
  framer.push(bytes);
  const packets: Received[] = [];
  for (let frame = framer.next(); frame !== undefined; frame = framer.next()) {
    reader.begin(frame.bytes, frame.start, frame.end);
    packets.push(readOne(reader, frame.first));
    if (reader.left > 0) reader.refuse('trailing');
  }
  if (framer.keptBytes > 0) throw new Error('the last packet is not complete');
  return packets;
}

const ackTypes: Readonly<Record<number, AckType>> = {
  64: 'puback',
  80: 'pubrec',
  98: 'pubrel',
  112: 'pubcomp',
};

function readOne(reader: Reader, first: number): Received {
  if (first >> 4 === 3) return readPublish(reader, first);
  const ackType = ackTypes[first];
  if (ackType !== undefined) {
    const packetId = reader.packetId();
    return { type: ackType, packetId, ...readLast(reader, 'outcome') };
  }
  switch (first) {
    case 0x20: {
      const sessionPresent = reader.u8() === 1;
      const reason = reader.u8() as Reason;
      return { type: 'connack', sessionPresent, reason, properties: read5(reader, 'connack') };
    }
    case 0x90:
      return readSuback(reader, 'suback');
    case 0xb0:
      return readSuback(reader, 'unsuback');
    case 0xd0:
      return { type: 'pingresp' };
    case 0xe0:
      return { type: 'disconnect', ...readLast(reader, 'disconnect') };
    case 0xf0:
      return { type: 'auth', ...readLast(reader, 'auth') };
    default:
      return reader.refuse('flags');
  }
}

function read5<P extends Place>(reader: Reader, place: P): Properties<P> {
  return reader.version === 5 ? readProperties(reader, place, most) : (noProperties as Properties<P>);
}

function readLast<P extends Place>(reader: Reader, place: P) {
  const reason = (reader.left > 0 ? reader.u8() : 0) as Reason;
  const properties = reader.left > 0 ? read5(reader, place) : (noProperties as Properties<P>);
  return { reason, properties };
}

function readSuback(reader: Reader, type: Suback['type']): Suback {
  const packetId = reader.packetId();
  const properties = read5(reader, 'outcome');
  return { type, packetId, reasons: [...reader.rest()] as Reason[], properties };
}

function readPublish(reader: Reader, first: number): Publish {
  const qos = ((first >> 1) & 3) as Qos;
  const topic = reader.text();
  const packetId = qos === 0 ? undefined : reader.packetId();
  const properties = read5(reader, 'publish');
  return {
    ...{ type: 'publish', dup: (first & 8) !== 0, qos, retain: (first & 1) !== 0 },
    ...{ topic: topic === '' ? undefined : topic, packetId, payload: reader.rest(), properties },
  } as Publish;
}
