import {
  type Attributes,
  type Cursor,
  contextAttributesOf,
  encodeCloudEvent,
  eventMediaType,
  needsStructuredMode,
  type Publication,
  PushfleetError,
  readContextAttributes,
} from '@pushfleet/core';
import type { Properties } from '../codec.ts';

// CloudEvents 1.0.2 over MQTT 5 in binary mode (MQTT binding 3.1): the content type is the event's datacontenttype, the
// payload its data, and the user properties its other context attributes, under their own names.

/** What a PUBLISH that is an event says of its publication. */
export interface EventSays {
  readonly id: string;
  readonly source: string;
  readonly type: string | undefined;
  readonly contentType: string | undefined;
  readonly retain: boolean | undefined;
  readonly ttlMs: number | undefined;
  /** The user properties that stay, in their order. */
  readonly attributes: Attributes;
  /**
   * What stood where, for who is to be given the user properties as they came ([MQTT-3.3.2-17], [MQTT-3.3.2-18]): names
   * of what became a field, and a dot for each that stayed.
   */
  readonly layout: string;
}

const stayed = '.';

/** What becomes a field of the publication or was meant for the fleet alone; `time` and extensions are attributes. */
const isLifted = (name: string): boolean => lifted.has(name) || name.startsWith('pushfleet');
const lifted: ReadonlySet<string> = new Set([
  ...['specversion', 'id', 'source', 'type', 'subject', 'datacontenttype'],
]);

// CloudEvents 1.0.2 "Attribute Naming Convention": a user property with another name is none of the event's.
const isContextName = (name: string): boolean => /^(?!data$)[a-z0-9]+$/.test(name);

/**
 * Reads the user properties of a PUBLISH or a will as an event; undefined: it is none in binary mode.
 *
 * @param contentType empty: none
 * @throws PushfleetError `attribute_invalid`
 */
export function readEvent(
  topic: string,
  contentType: string,
  userProperties: Attributes,
): EventSays | undefined {
  if (!userProperties.some(([name, value]) => name === 'specversion' && value === '1.0')) return undefined;
  if (needsStructuredMode({ contentType })) return undefined;
  const staying = ([name, value]: Attributes[number]): boolean =>
    // "The topic name is … not derived from the CloudEvents event data" (3.1.4): another subject stays what it is.
    !isContextName(name) || (name === 'subject' && value !== topic);
  const event = readContextAttributes(userProperties.filter((pair) => !staying(pair)));
  const { id, source, type, retain, ttlMs } = event;
  const listed = userProperties.some(([name]) => name === 'pushfleetattributes');
  const plain = userProperties.filter((pair) => staying(pair) || !isLifted(pair[0]));
  return {
    ...{ id, source, type, retain, ttlMs },
    contentType: agreed(contentType, event.contentType),
    // A list has an order of its own, and what stands in it beside the others.
    attributes: listed ? [...userProperties.filter(staying), ...event.attributes] : plain,
    layout: layoutOf(userProperties, (pair) => !plain.includes(pair)),
  };
}

/** 3.1.1: the content type is the datacontenttype, which the binding's own example says once more. */
function agreed(contentType: string, said: string | undefined): string | undefined {
  if (contentType === '') return said;
  if (said === undefined || contentType === said) return contentType;
  throw new PushfleetError(
    'attribute_invalid',
    'The content type and the user property "datacontenttype" differ; leave the latter out.',
  );
}

function layoutOf(all: Attributes, isField: (pair: Attributes[number]) => boolean): string {
  const places = all.map((pair) => (isField(pair) ? pair[0] : stayed));
  return places.slice(0, places.findLastIndex((place) => place !== stayed) + 1).join(' ');
}

/** The user properties as they came, from what stayed of them and the layout. */
export function restored(publication: Publication, plain: Attributes, layout: string): Attributes {
  const places = layout.split(' ');
  const fields = new Map(contextAttributesOf({ ...publication, attributes: [] }, undefined));
  // It came as it is unless its escaped form came.
  if (!places.includes('pushfleetsource')) fields.set('source', publication.source);
  let at = 0;
  const all = places.flatMap((place): Attributes => {
    if (place === stayed) return plain.slice(at, ++at);
    const value = fields.get(place);
    // No event has one twice; another protocol's publisher may have given the attribute any value.
    fields.delete(place);
    return value === undefined ? [] : [[place, value]];
  });
  return [...all, ...plain.slice(at)];
}

/** A publication as the PUBLISH of an event; `attributes` are those that are none of MQTT's own properties. */
export function eventOf(
  publication: Publication,
  attributes: Attributes,
  cursor: Cursor | undefined,
): { readonly payload: Uint8Array; readonly properties: Properties<'publish'> } {
  const { contentType, payload } = publication;
  const plain = { ...publication, attributes };
  if (needsStructuredMode(publication)) {
    // In binary mode its receiver would take the payload for the event (3).
    return {
      payload: Buffer.from(encodeCloudEvent(plain, cursor)),
      properties: { contentType: eventMediaType, payloadFormatIndicator: true },
    };
  }
  const userProperties = contextAttributesOf(plain, cursor).filter(([name]) => name !== 'datacontenttype');
  return { payload, properties: { contentType, userProperties } };
}
