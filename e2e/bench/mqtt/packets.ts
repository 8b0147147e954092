// The least of MQTT that clients need who measure brokers: MQTT 3.1.1 and 5, packets without properties.

export type Version = 4 | 5;
export type Qos = 0 | 1;

/** Types of packets (Table 2-1), as the first byte's upper half. */
export const types = { connack: 2, publish: 3, puback: 4, suback: 9 } as const;

/** MQTT 5 has the length of the properties, none here, where MQTT 3.1.1 has nothing. */
const noProperties = (version: Version): Buffer => Buffer.alloc(version === 5 ? 1 : 0);

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
}

const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 0xff);

function packet(first: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length: number[] = [];
  let left = body.length;
  for (; left >= 128; left >>>= 7) length.push((left & 0x7f) | 0x80);
  return Buffer.concat([Buffer.of(first, ...length, left), body]);
}

/**
 * Without a keep alive; the password is sent with a user name where there is one.
 *
 * @param lifeSeconds of the session, which may be there already, in MQTT 5; absent: it begins, and ends, with the connection
 */
export function connect(version: Version, clientId: string, password?: string, lifeSeconds?: number): Buffer {
  const secret = password === undefined ? [] : [text('token'), text(password)];
  const clean = lifeSeconds === undefined;
  const flags = (clean ? 0x02 : 0) | (password === undefined ? 0 : 0xc0);
  const properties = clean ? noProperties(version) : expiry(lifeSeconds);
  return packet(0x10, text('MQTT'), Buffer.of(version, flags, 0, 0), properties, text(clientId), ...secret);
}

/** The Session Expiry Interval (section 3.1.2.11.2) as all properties there are. */
function expiry(seconds: number): Buffer {
  const bytes = Buffer.of(5, 0x11, 0, 0, 0, 0);
  bytes.writeUInt32BE(seconds, 2);
  return bytes;
}

export const subscribe = (version: Version, filters: readonly string[], qos: Qos): Buffer =>
  packet(0x82, u16(1), noProperties(version), ...filters.flatMap((filter) => [text(filter), Buffer.of(qos)]));

/** @param packetId for QoS 1 */
export function publish(
  version: Version,
  qos: Qos,
  topic: string,
  payload: Uint8Array,
  packetId: number,
): Buffer {
  const id = qos === 0 ? [] : [u16(packetId)];
  return packet(0x30 | (qos << 1), text(topic), ...id, noProperties(version), payload);
}

export const disconnect = Buffer.of(0xe0, 0);

/** Writes a PUBACK of success and returns the place behind it. */
export function putPuback(target: Buffer, at: number, packetId: number): number {
  target[at] = 0x40;
  target[at + 1] = 2;
  target[at + 2] = packetId >> 8;
  target[at + 3] = packetId & 0xff;
  return at + 4;
}

/** Where a packet lies: its fixed header begins at `at`, what follows that is from `start` to `end`. */
export type OnPacket = (bytes: Buffer, at: number, start: number, end: number) => void;

/** Cuts what comes on one connection into packets, in place where a packet is whole. */
export class Inbox {
  #kept: Buffer | undefined;

  /** @param chunk is read to its end before this returns, and not kept */
  take(chunk: Buffer, on: OnPacket): void {
    const bytes = this.#kept === undefined ? chunk : Buffer.concat([this.#kept, chunk]);
    let at = 0;
    for (;;) {
      let start = at + 1;
      let length = 0;
      let shift = 0;
      let byte = 0x80;
      while (start < bytes.length && (byte & 0x80) !== 0) {
        byte = bytes[start++] as number;
        length |= (byte & 0x7f) << shift;
        shift += 7;
      }
      const end = start + length;
      if ((byte & 0x80) !== 0 || end > bytes.length) break;
      on(bytes, at, start, end);
      at = end;
    }
    this.#kept = at < bytes.length ? Buffer.from(bytes.subarray(at)) : undefined;
  }
}

/** Where the payload of a PUBLISH begins, and its packet identifier, 0 for QoS 0. */
export function readPublish(version: Version, bytes: Buffer, at: number, start: number) {
  const qos = ((bytes[at] as number) >> 1) & 3;
  let payload = start + 2 + bytes.readUInt16BE(start);
  const packetId = qos === 0 ? 0 : bytes.readUInt16BE(payload);
  if (qos > 0) payload += 2;
  // No property that a server adds here takes 128 bytes.
  if (version === 5) payload += 1 + (bytes[payload] as number);
  return { packetId, payload };
}
