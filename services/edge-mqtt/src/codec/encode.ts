import type { Ack, AckType, Connack, ServerPacket, Suback } from './packet.ts';
import { type Place, type Properties, writeProperties } from './properties.ts';
import { isFailure, type Reason, reasons, returnCode } from './reason.ts';
import type { Version } from './violation.ts';
import { Writer } from './writer.ts';

/** What a client's CONNECT said of the packets that it takes. */
export interface Peer {
  readonly version: Version;
  /** Its Maximum Packet Size in bytes; undefined: any. */
  readonly packetBytes?: number | undefined;
  /** Its Request Problem Information; absent: true. */
  readonly problemInformation?: boolean | undefined;
}

/** First bytes of fixed headers: type and flags (sections 2.1.2 and 2.1.3). */
const firstBytes = {
  connack: 0x20,
  puback: 0x40,
  pubrec: 0x50,
  pubrel: 0x62,
  pubcomp: 0x70,
  suback: 0x90,
  unsuback: 0xb0,
  disconnect: 0xe0,
  auth: 0xf0,
} as const;

const pingresp = Buffer.of(0xd0, 0);

// One for all packets: writing one is never interrupted by another.
const writer = new Writer();

/**
 * A packet as this client takes it, in memory of its own but for PINGRESP, whose bytes are shared.
 *
 * What the client did not ask for or has no room for is left out: user properties first, then the reason string
 * ([MQTT-3.1.2-29], and [MQTT-3.4.2-2] and its like). Before MQTT 5 an acknowledgement has no reason, so a failure
 * reads as a success there: [MQTT-3.3.5-2] has the server acknowledge or close.
 *
 * @returns undefined where the client cannot be told: its version has no such packet or code, or the packet is larger
 *   than it takes ([MQTT-3.1.2-24])
 */
export function encode(packet: ServerPacket, peer: Peer): Buffer | undefined {
  const bytes = encodeAny(packet, peer);
  return bytes === undefined || bytes.length > (peer.packetBytes ?? Infinity) ? undefined : bytes;
}

function encodeAny(packet: ServerPacket, peer: Peer): Buffer | undefined {
  if (packet.type === 'pingresp') return pingresp;
  return peer.version === 5 ? encode5(packet, peer) : encode3(packet, peer.version);
}

type Packet = Exclude<ServerPacket, { type: 'pingresp' }>;

function encode3(packet: Packet, version: Version): Buffer | undefined {
  switch (packet.type) {
    case 'connack':
      return connack3(packet, version);
    case 'suback':
    case 'unsuback':
      return suback3(packet);
    case 'disconnect':
    case 'auth':
      return undefined;
    default:
      return bareAck(packet.type, packet.packetId);
  }
}

function connack3({ sessionPresent, reason }: Connack, version: Version): Buffer | undefined {
  const code = returnCode(reason);
  if (code === undefined) return undefined;
  // MQTT 3.1 keeps the flag of 3.1.1 reserved.
  const present = sessionPresent && code === 0 && version === 4;
  return Buffer.of(firstBytes.connack, 2, present ? 1 : 0, code);
}

function suback3({ type, packetId, reasons: given }: Suback): Buffer {
  writer.begin();
  writer.u16(packetId);
  // MQTT 3.1.1 section 3.9.3 knows one failure, and section 3.11.3 no payload of an UNSUBACK.
  if (type === 'suback') for (const reason of given) writer.u8(isFailure(reason) ? 0x80 : reason);
  return writer.packet(firstBytes[type]);
}

/** An acknowledgement of success: what every delivery costs, so without the way through a writer. */
function bareAck(type: AckType, packetId: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes[0] = firstBytes[type];
  bytes[1] = 2;
  bytes[2] = packetId >> 8;
  bytes[3] = packetId & 0xff;
  return bytes;
}

/** Properties that say more than is needed, in the order in which they are given up. */
interface Extra {
  readonly reasonString?: string | undefined;
  readonly userProperties?: unknown;
}

const isEmpty = (properties: object): boolean => {
  for (const _ in properties) return false;
  return true;
};

const isAck = (packet: Packet): packet is Ack => packet.type.startsWith('pub');

function encode5(packet: Packet, peer: Peer): Buffer {
  const { type, properties } = packet;
  if (isAck(packet) && packet.reason === reasons.success && isEmpty(properties)) {
    return bareAck(packet.type, packet.packetId);
  }
  if (peer.problemInformation === false && type !== 'connack' && type !== 'disconnect') {
    return write5(packet, without(properties, true));
  }
  const most = peer.packetBytes ?? Infinity;
  const full = write5(packet, properties);
  if (full.length <= most) return full;
  const shorter = write5(packet, without(properties, false));
  return shorter.length <= most ? shorter : write5(packet, without(properties, true));
}

function without({ userProperties, reasonString, ...rest }: Extra, both: boolean): object {
  return both || reasonString === undefined ? rest : { ...rest, reasonString };
}

function write5(packet: Packet, properties: object): Buffer {
  writer.begin();
  switch (packet.type) {
    case 'connack':
      // [MQTT-3.2.2-6]
      writer.u8(packet.sessionPresent && packet.reason === reasons.success ? 1 : 0);
      writer.u8(packet.reason);
      writeMeasured('connack', properties);
      break;
    case 'suback':
    case 'unsuback':
      writer.u16(packet.packetId);
      writeMeasured('outcome', properties);
      for (const reason of packet.reasons) writer.u8(reason);
      break;
    case 'disconnect':
    case 'auth':
      writeLast(packet.type, packet.reason, properties);
      break;
    default:
      writer.u16(packet.packetId);
      writeLast('outcome', packet.reason, properties);
  }
  return writer.packet(firstBytes[packet.type]);
}

/** Reason and properties that end a packet: what follows from their absence is left out. */
function writeLast(place: Place, reason: Reason, properties: object): void {
  const empty = isEmpty(properties);
  if (!empty || reason !== reasons.success) writer.u8(reason);
  if (!empty) writeMeasured(place, properties);
}

function writeMeasured<P extends Place>(place: P, properties: object): void {
  writer.measured(() => writeProperties(writer, place, properties as Properties<P>));
}
