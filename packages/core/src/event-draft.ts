import {
  type ContextAttribute,
  complaintAbout,
  isPublishers,
  ownPrefix,
  standard,
} from './cloudevent-attributes.ts';
import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';
import { type Attributes, defaultType } from './publication.ts';
import { quote } from './topic.ts';
import { uriReference } from './uri.ts';

/**
 * What a CloudEvent says of a publication. It is a legal event; whether it is a legal draft is for `parseDraft` to
 * say. What is absent the event left open.
 */
export interface EventDraft {
  /** The event's `subject`. */
  readonly topic: string | undefined;
  readonly id: string;
  readonly source: string;
  readonly type: string | undefined;
  readonly contentType: string | undefined;
  readonly payload: Uint8Array;
  /** `time`, `dataschema` and extensions, in the event's order. */
  readonly attributes: Attributes;
  /** From `pushfleetretain`. */
  readonly retain: boolean | undefined;
  /** From `pushfleetttl`, in milliseconds. */
  readonly ttlMs: number | undefined;
}

/**
 * What the context attributes of an event say, and nothing of its data.
 *
 * @throws PushfleetError `attribute_invalid`
 */
export function readAttributes(attributes: readonly ContextAttribute[]): Omit<EventDraft, 'payload'> {
  const event = onlyOnce(attributes);
  const specversion = required(event, 'specversion');
  if (specversion !== '1.0') {
    throw illegal('specversion', `this fleet speaks CloudEvents 1.0, not ${quote(specversion)}`);
  }
  if (event.get('subject') === '') throw illegal('subject', 'it is the topic and not empty; leave it out');
  const source = required(event, 'source');
  const raw = event.get('pushfleetsource') ?? '';
  const type = required(event, 'type');
  return {
    topic: event.get('subject'),
    id: required(event, 'id'),
    source: raw !== '' && raw.length <= limits.nameBytes && uriReference(raw) === source ? raw : source,
    type: type === defaultType ? undefined : type,
    contentType: event.get('datacontenttype'),
    attributes: ordered(attributes.filter(isKept), event.get('pushfleetattributes')),
    retain: retain(event.get('pushfleetretain')),
    ttlMs: ttl(event.get('pushfleetttl')),
  };
}

function onlyOnce(attributes: readonly ContextAttribute[]): ReadonlyMap<string, string> {
  if (attributes.length > mostAttributes) throw tooMany();
  const event = new Map<string, string>();
  for (const [name, value] of attributes) {
    if (event.has(name)) throw illegal(name, 'an event has each attribute once');
    event.set(name, value);
  }
  return event;
}

function required(event: ReadonlyMap<string, string>, name: string): string {
  const value = event.get(name);
  if (value !== undefined && value !== '') return value;
  throw new PushfleetError(
    'attribute_invalid',
    `The CloudEvent has no ${name}; specversion, id, source and type are required and not empty.`,
    { detail: { attribute: name } },
  );
}

const own = ['cursor', 'time', 'source', 'attributes', 'retain', 'ttl'].map((name) => ownPrefix + name);

/** More no legal event has; who reads one may stop there. */
export const mostAttributes = limits.attributes + standard.size + own.length;

/** Whether an attribute becomes one of the publication's; throws where it is neither that nor the fleet's. */
function isKept([name, value]: ContextAttribute): boolean {
  if (!isPublishers(name)) {
    // A misspelt pushfleetretain that is passed over loses what the publisher asked for.
    if (standard.has(name) || own.includes(name)) return false;
    throw illegal(name, `"${ownPrefix}" begins the fleet's own; there are ${own.join(', ')}`);
  }
  const complaint = complaintAbout(name, value);
  if (complaint !== undefined) throw illegal(name, complaint);
  return true;
}

/** The publication's attributes: extensions, then the list. What both say stands at its place in the list. */
function ordered(extensions: Attributes, text: string | undefined): Attributes {
  const list = text === undefined ? [] : listOf(text);
  if (extensions.length > limits.attributes || list.length > limits.attributes) throw tooMany();
  const alone = extensions.filter(([name, value]) => !list.some(([n, v]) => n === name && v === value));
  return [...alone, ...list];
}

function listOf(text: string): Attributes {
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every(isPair)) return list;
  } catch {
    // Told below.
  }
  throw illegal('pushfleetattributes', 'it is a JSON list of [name, value] pairs of strings');
}

const isPair = (pair: unknown): pair is ContextAttribute =>
  Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string');

function retain(value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined;
  if (value === 'true' || value === 'false') return value === 'true';
  throw illegal('pushfleetretain', 'it is true or false');
}

function ttl(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,12}$/.test(value)) return Number(value) * 1_000;
  throw illegal('pushfleetttl', 'it is a whole number of seconds');
}

const tooMany = (): PushfleetError =>
  new PushfleetError(
    'attribute_invalid',
    `An event has at most ${limits.attributes} attributes beside id, source, type, subject and datacontenttype.`,
    { detail: { limit: limits.attributes } },
  );

/** An `attribute_invalid` that names the attribute and the rule. */
export const illegal = (name: string, why: string): PushfleetError =>
  new PushfleetError('attribute_invalid', `The CloudEvent attribute ${quote(name)} is not legal: ${why}.`);
