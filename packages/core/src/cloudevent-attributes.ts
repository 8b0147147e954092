import type { Cursor } from './cursor.ts';
import { limits } from './limits.ts';
import { type Attributes, defaultType, type Publication } from './publication.ts';
import { byteLength } from './topic.ts';
import { isUri, uriReference } from './uri.ts';

/** A context attribute: its name and its canonical string (CloudEvents 1.0.2 "Type System"). */
export type ContextAttribute = readonly [name: string, value: string];

/**
 * The context attributes of a publication, in an order that `decode` gives back.
 *
 * Its attributes are extensions, `dataschema` and `time` where CloudEvents allows it. The rest is the fleet's own:
 * - `pushfleetcursor`: where to resume behind it, if that is known.
 * - `pushfleettime`: when the log stored it, where `time` is the publisher's.
 * - `pushfleetsource`: its source, where that is no URI-reference and `source` is an escaped one.
 * - `pushfleetattributes`: a JSON list of [name, value], as a string since an extension's value is no list. It has
 *   the attributes from the first that cannot be an extension; those behind it that can be are extensions, too.
 */
export function attributesOf(
  publication: Publication,
  cursor: Cursor | undefined,
): readonly ContextAttribute[] {
  const source = uriReference(publication.source);
  const { extensions, list } = split(publication.attributes ?? []);
  const stored = new Date(publication.time).toISOString();
  const timed = extensions.some(([name]) => name === 'time');
  const attributes: ContextAttribute[] = [
    ['specversion', '1.0'],
    ['id', publication.id],
    ['source', source],
    ['type', publication.type ?? defaultType],
    ['subject', publication.topic],
  ];
  if (!timed) attributes.push(['time', stored]);
  attributes.push(['datacontenttype', publication.contentType], ...extensions);
  if (timed) attributes.push(['pushfleettime', stored]);
  if (source !== publication.source) attributes.push(['pushfleetsource', publication.source]);
  if (cursor !== undefined) attributes.push(['pushfleetcursor', cursor]);
  if (list.length > 0) attributes.push(['pushfleetattributes', JSON.stringify(list)]);
  return attributes;
}

function split(attributes: Attributes): { extensions: Attributes; list: Attributes } {
  const isExtension = ([name, value]: ContextAttribute): boolean =>
    isPublishers(name) &&
    complaintAbout(name, value) === undefined &&
    attributes.filter(([other]) => other === name).length === 1;
  const first = attributes.findIndex((attribute) => !isExtension(attribute));
  if (first < 0) return { extensions: attributes, list: [] };
  return { extensions: attributes.filter(isExtension), list: attributes.slice(first) };
}

/** What begins so belongs to the fleet: a publisher cannot imitate it. */
export const ownPrefix = 'pushfleet';

/** The attributes of CloudEvents' own; extensions are all others. */
export const standard: ReadonlySet<string> = new Set([
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'dataschema',
]);

/** Whether an attribute of a publication becomes it: the others of CloudEvents' own come from fields. */
export const isPublishers = (name: string): boolean =>
  name === 'time' || name === 'dataschema' || !(standard.has(name) || name.startsWith(ownPrefix));

// CloudEvents 1.0.2 "Attribute Naming Convention"; `data` is a member of the JSON format.
const legalName = /^(?!data$)[a-z0-9]+$/;
// CloudEvents 1.0.2 "Type System", String: no control characters, no noncharacters, no half of a surrogate pair.
const illegal = /[\p{Cc}\p{Cs}\p{NChar}]/u;

/** Why CloudEvents does not allow this attribute with this value, or undefined where it does. */
export function complaintAbout(name: string, value: string): string | undefined {
  if (!legalName.test(name)) return 'a name has lower-case letters and digits only, and is not "data"';
  if (byteLength(value) > limits.attributesBytes)
    return `a value has at most ${limits.attributesBytes} bytes`;
  if (illegal.test(value)) return 'a value has no control characters and is valid Unicode';
  if (name === 'time' && !isTimestamp(value))
    return 'a time is written as in RFC 3339, such as 2025-01-02T03:04:05Z';
  if (name === 'dataschema' && !isUri(value)) return 'a schema is named by an absolute URI';
  return undefined;
}

const timestamp =
  /^(\d{4})-(0[1-9]|1[0-2])-(\d{2})T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/** RFC 3339 section 5.6, with the days a month has (section 5.7). */
function isTimestamp(text: string): boolean {
  const [, year, month, day] = timestamp.exec(text)?.map(Number) ?? [];
  if (year === undefined || month === undefined || day === undefined) return false;
  // Day 0 is the last of the month before. In the Gregorian calendar 2000 + year % 400 has the months of any year.
  return day >= 1 && day <= new Date(Date.UTC(2_000 + (year % 400), month, 0)).getUTCDate();
}
