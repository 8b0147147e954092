import type { Reader } from './reader.ts';
import type { Writer } from './writer.ts';

/** Where properties stand: a packet, the will inside a CONNECT, or the packets that only say how something went. */
export type Place =
  | 'connect'
  | 'will'
  | 'connack'
  | 'publish'
  | 'outcome'
  | 'subscribe'
  | 'unsubscribe'
  | 'disconnect'
  | 'auth';

/** The values that a property may have. */
interface Values {
  /** One byte, 0 or 1. */
  flag: boolean;
  /** One byte, 0 or 1: a QoS that is not the highest. */
  qos: 0 | 1;
  u16: number;
  u32: number;
  /** From 1. */
  positive16: number;
  /** From 1. */
  positive32: number;
  /** From 1 to 65,535, refused as a topic alias. */
  alias: number;
  /** A variable byte integer from 1. */
  number: number;
  /** Several of them, from as many properties. */
  numbers: readonly number[];
  text: string;
  /** A topic name. */
  topic: string;
  binary: Buffer;
  /** In their order; a name may repeat. */
  pairs: readonly (readonly [name: string, value: string])[];
}

interface Row {
  readonly id: number;
  /** Where MQTT 5 says what its value may be, and that it stands once. */
  readonly section: string;
  readonly kind: keyof Values;
  readonly places: readonly Place[];
}

/** Table 2-4 of MQTT 5. */
const table = {
  payloadFormatIndicator: { id: 0x01, section: '3.3.2.3.2', kind: 'flag', places: ['publish', 'will'] },
  messageExpiryInterval: { id: 0x02, section: '3.3.2.3.3', kind: 'u32', places: ['publish', 'will'] },
  contentType: { id: 0x03, section: '3.3.2.3.9', kind: 'text', places: ['publish', 'will'] },
  responseTopic: { id: 0x08, section: '3.3.2.3.5', kind: 'topic', places: ['publish', 'will'] },
  correlationData: { id: 0x09, section: '3.3.2.3.6', kind: 'binary', places: ['publish', 'will'] },
  subscriptionIdentifiers: { id: 0x0b, section: '3.3.2.3.8', kind: 'numbers', places: ['publish'] },
  subscriptionIdentifier: { id: 0x0b, section: '3.8.2.1.2', kind: 'number', places: ['subscribe'] },
  sessionExpiryInterval: {
    id: 0x11,
    section: '3.1.2.11.2',
    kind: 'u32',
    places: ['connect', 'connack', 'disconnect'],
  },
  assignedClientIdentifier: { id: 0x12, section: '3.2.2.3.7', kind: 'text', places: ['connack'] },
  serverKeepAlive: { id: 0x13, section: '3.2.2.3.14', kind: 'u16', places: ['connack'] },
  authenticationMethod: {
    id: 0x15,
    section: '3.1.2.11.9',
    kind: 'text',
    places: ['connect', 'connack', 'auth'],
  },
  authenticationData: {
    id: 0x16,
    section: '3.1.2.11.10',
    kind: 'binary',
    places: ['connect', 'connack', 'auth'],
  },
  requestProblemInformation: { id: 0x17, section: '3.1.2.11.7', kind: 'flag', places: ['connect'] },
  willDelayInterval: { id: 0x18, section: '3.1.3.2.2', kind: 'u32', places: ['will'] },
  requestResponseInformation: { id: 0x19, section: '3.1.2.11.6', kind: 'flag', places: ['connect'] },
  responseInformation: { id: 0x1a, section: '3.2.2.3.15', kind: 'text', places: ['connack'] },
  serverReference: { id: 0x1c, section: '3.2.2.3.16', kind: 'text', places: ['connack', 'disconnect'] },
  reasonString: {
    id: 0x1f,
    section: '3.4.2.2.2',
    kind: 'text',
    places: ['connack', 'outcome', 'disconnect', 'auth'],
  },
  receiveMaximum: { id: 0x21, section: '3.1.2.11.3', kind: 'positive16', places: ['connect', 'connack'] },
  topicAliasMaximum: { id: 0x22, section: '3.1.2.11.5', kind: 'u16', places: ['connect', 'connack'] },
  topicAlias: { id: 0x23, section: '3.3.2.3.4', kind: 'alias', places: ['publish'] },
  maximumQos: { id: 0x24, section: '3.2.2.3.4', kind: 'qos', places: ['connack'] },
  retainAvailable: { id: 0x25, section: '3.2.2.3.5', kind: 'flag', places: ['connack'] },
  userProperties: {
    id: 0x26,
    section: '3.1.2.11.8',
    kind: 'pairs',
    places: [
      'connect',
      'will',
      'connack',
      'publish',
      'outcome',
      'subscribe',
      'unsubscribe',
      'disconnect',
      'auth',
    ],
  },
  maximumPacketSize: { id: 0x27, section: '3.1.2.11.4', kind: 'positive32', places: ['connect', 'connack'] },
  wildcardSubscriptionAvailable: { id: 0x28, section: '3.2.2.3.11', kind: 'flag', places: ['connack'] },
  subscriptionIdentifierAvailable: { id: 0x29, section: '3.2.2.3.12', kind: 'flag', places: ['connack'] },
  sharedSubscriptionAvailable: { id: 0x2a, section: '3.2.2.3.13', kind: 'flag', places: ['connack'] },
} as const satisfies Record<string, Row>;

type Table = typeof table;

/** The properties that a packet may have in MQTT 5; before it there are none. What is absent was not sent. */
export type Properties<P extends Place> = {
  readonly [N in keyof Table as P extends Table[N]['places'][number] ? N : never]?:
    | Values[Table[N]['kind']]
    | undefined;
};

interface Property extends Row {
  readonly name: string;
}

const placed = (place: Place): readonly Property[] =>
  Object.entries(table)
    .filter(([, row]) => (row.places as readonly Place[]).includes(place))
    .map(([name, row]) => ({ name, ...row }));

/** The properties of each place, in the order in which they are written. */
const byPlace: Readonly<Record<Place, readonly Property[]>> = {
  connect: placed('connect'),
  will: placed('will'),
  connack: placed('connack'),
  publish: placed('publish'),
  outcome: placed('outcome'),
  subscribe: placed('subscribe'),
  unsubscribe: placed('unsubscribe'),
  disconnect: placed('disconnect'),
  auth: placed('auth'),
};

const all = Object.values(byPlace).flat();

const byId = new Map(
  Object.entries(byPlace).map(([place, properties]) => [
    place,
    new Map(properties.map((property) => [property.id, property])),
  ]),
) as ReadonlyMap<Place, ReadonlyMap<number, Property>>;

function positive(reader: Reader, property: Property, value: number): number {
  if (value === 0) reader.refuse('property_value', property);
  return value;
}

function bit(reader: Reader, property: Property): number {
  const value = reader.u8();
  if (value > 1) reader.refuse('property_value', property);
  return value;
}

function alias(reader: Reader): number {
  const value = reader.u16();
  if (value === 0) reader.refuse('topic_alias_0');
  return value;
}

function topic(reader: Reader, property: Property): string {
  const name = reader.topicOrNone();
  if (name === '') reader.refuse('property_value', property);
  return name;
}

type ReadValue = (reader: Reader, property: Property) => unknown;

const readers: Readonly<Record<keyof Values, ReadValue>> = {
  flag: (reader, property) => bit(reader, property) === 1,
  qos: bit,
  u16: (reader) => reader.u16(),
  u32: (reader) => reader.u32(),
  positive16: (reader, property) => positive(reader, property, reader.u16()),
  positive32: (reader, property) => positive(reader, property, reader.u32()),
  alias,
  number: (reader, property) => positive(reader, property, reader.varint()),
  numbers: (reader, property) => positive(reader, property, reader.varint()),
  text: (reader) => reader.text(),
  topic,
  binary: (reader) => reader.binary(),
  pairs: (reader) => [reader.text(), reader.text()],
};

const repeats = (property: Property): boolean => property.kind === 'pairs' || property.kind === 'numbers';

const none = Object.freeze({});

/**
 * Section 2.2.2.
 *
 * @param most properties of one name that may repeat
 */
export function readProperties<P extends Place>(reader: Reader, place: P, most: number): Properties<P> {
  const length = reader.varint();
  return length === 0 ? none : (reader.within(length, () => readAll(reader, place, most)) as Properties<P>);
}

function readAll(reader: Reader, place: Place, most: number): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  const known = byId.get(place) as ReadonlyMap<number, Property>;
  while (reader.left > 0) {
    const id = reader.varint();
    const property = known.get(id) ?? misplaced(reader, id);
    const { name } = property;
    const before = found[name];
    if (!repeats(property)) {
      // The value first: one that is cut off is malformed, which is worse than one too many.
      const value = readers[property.kind](reader, property);
      if (before !== undefined) reader.refuse('property_repeated', property);
      found[name] = value;
    } else {
      const list = (before ?? []) as unknown[];
      if (list.length === most) reader.refuse('too_many', property);
      list.push(readers[property.kind](reader, property));
      found[name] = list;
    }
  }
  return found;
}

/** The value first: one that is cut off is malformed. */
function misplaced(reader: Reader, id: number): never {
  const property = all.find((one) => one.id === id);
  if (property === undefined) return reader.refuse('property_unknown');
  readers[property.kind](reader, property);
  return reader.refuse('property_misplaced', { name: property.name, section: '2.2.2.2' });
}

/** The properties of a packet of 3.1 or 3.1.1, and of one that has none. */
export const noProperties: Readonly<Record<string, never>> = none;

type WriteValue = (writer: Writer, value: never) => void;

const writers: Readonly<Record<keyof Values, WriteValue>> = {
  flag: (writer, value: boolean) => writer.u8(value ? 1 : 0),
  qos: (writer, value: number) => writer.u8(value),
  u16: (writer, value: number) => writer.u16(value),
  u32: (writer, value: number) => writer.u32(value),
  positive16: (writer, value: number) => writer.u16(value),
  positive32: (writer, value: number) => writer.u32(value),
  alias: (writer, value: number) => writer.u16(value),
  number: (writer, value: number) => writer.varint(value),
  numbers: (writer, value: number) => writer.varint(value),
  text: (writer, value: string) => writer.text(value),
  topic: (writer, value: string) => writer.text(value),
  binary: (writer, value: Uint8Array) => writer.binary(value),
  pairs: (writer, [name, value]: readonly [string, string]) => {
    writer.text(name);
    writer.text(value);
  },
};

/** Writes properties without their length. */
export function writeProperties<P extends Place>(writer: Writer, place: P, given: Properties<P>): void {
  for (const property of byPlace[place]) {
    const value = (given as Readonly<Record<string, unknown>>)[property.name];
    if (value === undefined) continue;
    for (const one of repeats(property) ? (value as readonly unknown[]) : [value]) {
      writer.u8(property.id);
      writers[property.kind](writer, one as never);
    }
  }
}
