import { type Attributes, type Cursor, type Publication, PushfleetError, parseTopic } from '@pushfleet/core';
import type { Publish as Submitted } from '@pushfleet/intake';
import {
  OutgoingPublish,
  type Properties,
  type Publish,
  type Qos,
  type Version,
  type Will,
} from '../codec.ts';
import { type EventSays, eventOf, readEvent, restored } from './event.ts';

// An MQTT message as a publication for every other protocol, and the other way round. User properties are attributes, in
// their order ([MQTT-3.3.2-18]). What has no place in a publication is an attribute before them, under a name of its own.

/** The attributes that stand for something of MQTT's; they come first, in this order. */
const own = {
  /** Absent: 2, since a publication of another protocol is owed to whoever asked for it. */
  qos: 'mqttqos',
  format: 'mqttpayloadformat',
  responseTopic: 'mqttresponsetopic',
  /** In base64. */
  correlation: 'mqttcorrelationdata',
  /** It came as an event: see `EventSays.layout`. */
  event: 'mqttevent',
} as const;

const ownNames: ReadonlySet<string> = new Set(Object.values(own));

/** Stands before a user property's name that would be read as one of ours, or that no attribute may have. */
const ownEscape = 'mqttname:';

const toAttribute = ([name, value]: Attributes[number]): Attributes[number] =>
  name === '' || ownNames.has(name) || name.startsWith(ownEscape) ? [ownEscape + name, value] : [name, value];

const toUserProperty = ([name, value]: Attributes[number]): Attributes[number] => [
  name.startsWith(ownEscape) ? name.slice(ownEscape.length) : name,
  value,
];

/** What a publication has whose publisher named no content type. */
const noType = 'application/octet-stream';

type Given = Pick<Publish, 'qos' | 'payload' | 'retain'> & {
  readonly topic: string;
  readonly properties: Omit<Properties<'publish'>, 'topicAlias' | 'subscriptionIdentifiers'>;
};

/**
 * What a client or its will publishes, on its way into the log.
 *
 * @param id where it has to be a certain one; an event's own comes first
 * @returns the error where it says that it is an event and is none
 */
export function submissionOf(given: Given | Will, origin: string, id?: string): Submitted | PushfleetError {
  const { topic, payload, retain, properties } = given;
  const { contentType = '', messageExpiryInterval: expiry, userProperties = [] } = properties;
  try {
    const { layout, ...event } = readEvent(topic, contentType, userProperties) ?? plain;
    const marked: Attributes = layout === '' ? [] : [[own.event, layout]];
    const kept = event.attributes ?? userProperties;
    const attributes = [...ownOf(given), ...marked, ...kept.map(toAttribute)];
    return {
      trace: traceOf(userProperties),
      submission: {
        ...{ topic, payload, origin, attributes, source: event.source, type: event.type },
        id: event.id ?? id,
        retain: retain || event.retain,
        contentType: event.contentType ?? (contentType || undefined),
        // Section 3.3.2.3.3: 0 is over at once, which no log can say.
        ttlMs: expiry === undefined ? event.ttlMs : Math.max(1, expiry * 1_000),
      },
    };
  } catch (error) {
    return PushfleetError.from(error);
  }
}

/** A message that is no event. */
const plain: Partial<EventSays> & Pick<EventSays, 'layout'> = { layout: '' };

function ownOf({ qos, properties }: Given | Will): [string, string][] {
  const { payloadFormatIndicator: text, responseTopic, correlationData } = properties;
  const attributes: [string, string][] = [];
  if (qos < 2) attributes.push([own.qos, String(qos)]);
  if (text !== undefined) attributes.push([own.format, text ? '1' : '0']);
  if (responseTopic !== undefined) attributes.push([own.responseTopic, responseTopic]);
  if (correlationData !== undefined) attributes.push([own.correlation, correlationData.toString('base64')]);
  return attributes;
}

/** Trace headers, which MQTT carries as user properties. */
function traceOf(attributes: readonly (readonly [string, string])[]): Submitted['trace'] {
  const find = (name: string): string | undefined => attributes.find(([key]) => key === name)?.[1];
  const [parent, state, baggage] = [find('traceparent'), find('tracestate'), find('baggage')];
  return {
    ...(parent !== undefined && { traceparent: parent }),
    ...(state !== undefined && { tracestate: state }),
    ...(baggage !== undefined && { baggage }),
  };
}

interface Read {
  readonly own: ReadonlyMap<string, string>;
  /** As attributes. */
  readonly user: Attributes;
}

function readAttributes({ attributes = [] }: Publication): Read {
  const end = attributes.findIndex(([name], at) => !ownNames.has(name) || at >= ownNames.size);
  const count = end < 0 ? attributes.length : end;
  return { own: new Map(attributes.slice(0, count)), user: attributes.slice(count) };
}

/** The QoS that it was published with ([MQTT-3.8.4-8]). */
export function qosOf({ attributes }: Publication): Qos {
  const first = attributes?.[0];
  if (first === undefined || first[0] !== own.qos) return 2;
  return first[1] === '0' ? 0 : first[1] === '1' ? 1 : 2;
}

/** What MQTT has a property for. */
function nativeOf({ own: found }: Read): Properties<'publish'> {
  const format = found.get(own.format);
  const responseTopic = found.get(own.responseTopic);
  const correlation = found.get(own.correlation);
  return {
    ...(format !== undefined && { payloadFormatIndicator: format === '1' }),
    ...(responseTopic !== undefined && isTopic(responseTopic) && { responseTopic }),
    ...(correlation !== undefined && { correlationData: Buffer.from(correlation, 'base64') }),
  };
}

/** Another protocol's publisher may have given the attribute any value; a client would break the connection over it. */
function isTopic(text: string): boolean {
  try {
    parseTopic(text);
    return true;
  } catch {
    return false;
  }
}

function propertiesOf(publication: Publication): Properties<'publish'> {
  const read = readAttributes(publication);
  const { contentType } = publication;
  const user = read.user.map(toUserProperty);
  const layout = read.own.get(own.event);
  const userProperties = layout === undefined ? user : restored(publication, user, layout);
  return {
    ...nativeOf(read),
    ...(contentType !== noType && { contentType }),
    ...(userProperties.length > 0 && { userProperties }),
  };
}

/** What the bytes of a message depend on. */
interface Encodable {
  readonly publication: Publication;
  readonly cursor?: Cursor;
}

const encoder =
  (version: Version) =>
  ({ publication }: Encodable): OutgoingPublish =>
    new OutgoingPublish(version, {
      topic: publication.topic,
      payload: publication.payload,
      properties: version === 5 ? propertiesOf(publication) : {},
    });

const eventEncoder = ({ publication, cursor }: Encodable): OutgoingPublish => {
  const read = readAttributes(publication);
  const { payload, properties } = eventOf(publication, read.user, cursor);
  const { topic } = publication;
  return new OutgoingPublish(5, { topic, payload, properties: { ...nativeOf(read), ...properties } });
};

/** The same without a place to go on from. */
export const placelessEncoder = ({ publication }: Encodable): OutgoingPublish =>
  eventEncoder({ publication });

/**
 * A publication's packets, made once for all who are given the same: those of a version, and in MQTT 5 those as
 * CloudEvents. Those of 3.1 are those of 3.1.1.
 */
export const encoders = { 4: encoder(4), 5: encoder(5), event: eventEncoder } as const;

/** How a client is given publications. */
export type Encoding = keyof typeof encoders;

/** What is left of a publication's time in whole seconds, at least 1; undefined: it does not expire. */
export const expiryOf = ({ expiresAt }: Publication, now: () => number): number | undefined =>
  expiresAt === undefined
    ? undefined
    : Math.min(Math.max(1, Math.ceil((expiresAt - now()) / 1_000)), 0xffff_ffff);
