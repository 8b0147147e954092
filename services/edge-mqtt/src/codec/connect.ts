import type { Connect, Qos, Will } from './packet.ts';
import { noProperties, readProperties } from './properties.ts';
import type { Reader } from './reader.ts';
import type { Version } from './violation.ts';

// Section 3.1.2.3.
const flag = {
  reserved: 0x01,
  cleanStart: 0x02,
  will: 0x04,
  willRetain: 0x20,
  password: 0x40,
  userName: 0x80,
} as const;

/**
 * A CONNECT without its fixed header. The reader's version is set as soon as it is known in whose words the client
 * can be answered, also where it is refused.
 *
 * What is wrong before the properties, with the user name or with the password is not told ([MQTT-3.1.4-1] closes, and
 * leaves open whether to say why): who sends so is no client that a person looks after.
 *
 * @param fixed the first byte of the packet
 * @param most user properties
 */
export function readConnect(reader: Reader, fixed: number, most: number): Connect {
  const version = readVersion(reader);
  reader.quiet = true;
  if (version > 3 && (fixed & 0x0f) !== 0) reader.refuse('flags');
  const flags = readFlags(reader, version);
  const keepAlive = reader.u16();
  reader.quiet = false;
  const properties = version === 5 ? readProperties(reader, 'connect', most) : noProperties;
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    reader.refuse('auth_data_alone');
  }
  const cleanStart = (flags & flag.cleanStart) !== 0;
  const clientId = readClientId(reader, version, cleanStart);
  const will = (flags & flag.will) === 0 ? undefined : readWill(reader, flags, most);
  // MQTT 3.1 section 3.1: the flags may be set and the fields missing, which is valid.
  reader.quiet = true;
  const present = (bit: number): boolean => (flags & bit) !== 0 && !(version === 3 && reader.left === 0);
  const userName = present(flag.userName) ? reader.name() : undefined;
  const password = present(flag.password) ? reader.binary() : undefined;
  reader.quiet = false;
  return { type: 'connect', version, cleanStart, keepAlive, clientId, will, userName, password, properties };
}

const levels: Readonly<Record<string, readonly number[]>> = { MQTT: [4, 5], MQIsdp: [3] };

function readVersion(reader: Reader): Version {
  const name = reader.text();
  if (!Object.hasOwn(levels, name)) reader.refuse('protocol_name');
  const level = reader.u8();
  // Who speaks a version of the future understands 5 rather than what was before it.
  reader.version = level === 3 || level === 4 ? level : 5;
  if (!levels[name]?.includes(level)) reader.refuse('protocol_version');
  return reader.version;
}

function readFlags(reader: Reader, version: Version): number {
  const flags = reader.u8();
  // MQTT 3.1 leaves this flag unused and does not say what it has to be.
  if (version > 3 && (flags & flag.reserved) !== 0) reader.refuse('connect_reserved');
  if ((flags & flag.will) === 0) {
    if (willQos(flags) !== 0) reader.refuse('will_qos_alone');
    if ((flags & flag.willRetain) !== 0) reader.refuse('will_retain_alone');
  } else if (willQos(flags) === 3) reader.refuse('will_qos_3');
  if (version < 5 && (flags & flag.password) !== 0 && (flags & flag.userName) === 0) {
    reader.refuse('password_alone');
  }
  return flags;
}

const willQos = (flags: number): number => (flags >> 3) & 3;

function readClientId(reader: Reader, version: Version, cleanStart: boolean): string {
  // Before MQTT 5 a CONNECT that does not conform is closed without a CONNACK ([MQTT-3.1.4-1]).
  const clientId = reader.name(version === 5 ? 'client_id_text' : undefined);
  // In MQTT 3.1 it has at least one character; in 5 the server may assign one to any session ([MQTT-3.1.3-6]).
  if (clientId === '' && (version === 3 || (version === 4 && !cleanStart))) reader.refuse('client_id_empty');
  return clientId;
}

function readWill(reader: Reader, flags: number, most: number): Will {
  const properties = reader.version === 5 ? readProperties(reader, 'will', most) : noProperties;
  const topic = reader.topic();
  const payload = reader.binary();
  return { topic, payload, qos: willQos(flags) as Qos, retain: (flags & flag.willRetain) !== 0, properties };
}
