import type { Publication } from '@pushfleet/core';
import type { Encodable } from '@pushfleet/hub';
import type { Publish as Submitted } from '@pushfleet/intake';
import {
  OutgoingPublish,
  type Properties,
  type Publish,
  type Qos,
  type Version,
  type Will,
} from './codec.ts';

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
} as const;

const ownNames: ReadonlySet<string> = new Set(Object.values(own));

/** What a publication has whose publisher named no content type. */
const noType = 'application/octet-stream';

type Given = Pick<Publish, 'qos' | 'payload' | 'retain'> & {
  readonly topic: string;
  readonly properties: Omit<Properties<'publish'>, 'topicAlias' | 'subscriptionIdentifiers'>;
};

/** What a client or its will publishes, on its way into the log. @param id where it has to be a certain one */
export function submissionOf(given: Given | Will, origin: string, id?: string): Submitted {
  const { topic, payload, retain, properties } = given;
  const { contentType, messageExpiryInterval: expiry } = properties;
  const attributes = [...ownOf(given), ...(properties.userProperties ?? [])];
  return {
    trace: traceOf(attributes),
    submission: {
      ...{ topic, payload, retain, origin, attributes, id },
      contentType: contentType === '' ? undefined : contentType,
      // Section 3.3.2.3.3: 0 is over at once, which no log can say.
      ttlMs: expiry === undefined ? undefined : Math.max(1, expiry * 1_000),
    },
  };
}

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
  readonly user: readonly (readonly [string, string])[];
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

function propertiesOf(publication: Publication): Properties<'publish'> {
  const read = readAttributes(publication);
  const format = read.own.get(own.format);
  const responseTopic = read.own.get(own.responseTopic);
  const correlation = read.own.get(own.correlation);
  const { contentType } = publication;
  return {
    ...(format !== undefined && { payloadFormatIndicator: format === '1' }),
    ...(contentType !== noType && { contentType }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlation !== undefined && { correlationData: Buffer.from(correlation, 'base64') }),
    ...(read.user.length > 0 && { userProperties: read.user }),
  };
}

const encoder =
  (version: Version) =>
  ({ publication }: Pick<Encodable, 'publication'>): OutgoingPublish =>
    new OutgoingPublish(version, {
      topic: publication.topic,
      payload: publication.payload,
      properties: version === 5 ? propertiesOf(publication) : {},
    });

/** A publication's packets, made once for all who speak the version. Those of 3.1 are those of 3.1.1. */
export const encoders = { 4: encoder(4), 5: encoder(5) } as const;

/** What is left of a publication's time in whole seconds, at least 1; undefined: it does not expire. */
export const expiryOf = ({ expiresAt }: Publication, now: () => number): number | undefined =>
  expiresAt === undefined
    ? undefined
    : Math.min(Math.max(1, Math.ceil((expiresAt - now()) / 1_000)), 0xffff_ffff);
