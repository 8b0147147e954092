import {
  limits,
  type Namespace,
  parseNamespace,
  parseTopic,
  parseTopicFilter,
  quote,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import { FileError } from './watched-file.ts';

/** One entry of `topics`: what holds for the topics that its filter is the first to match. */
export interface TopicRule {
  /** Undefined: every namespace. */
  readonly namespace: Namespace | undefined;
  readonly filter: TopicFilter;
  /** How long the log keeps a publication, in milliseconds. */
  readonly retentionMs?: number;
  /** Largest payload, in bytes. */
  readonly maxBytes?: number;
  /** Publications a second, for each topic and instance of publish. */
  readonly rate?: number;
  readonly history: boolean;
  readonly presence: boolean;
  /** Strangers, who have no token, may subscribe to it. The entry names its namespace then. */
  readonly public?: true;
}

/** What a namespace may use, over all instances; what is absent is not limited. */
export interface Quota {
  readonly connections?: number;
  /** Filters that live connections hold; and, counted apart, subscriptions in the registry. */
  readonly subscriptions?: number;
  /** Sessions that outlive connections, and those of live ones. */
  readonly sessions?: number;
  /** Publications a second. */
  readonly publishRate?: number;
  /** Bytes of publications in the log. */
  readonly storedBytes?: number;
}

/** One entry of `quotas`. */
export interface QuotaRule {
  /** Undefined: every namespace. */
  readonly namespace: Namespace | undefined;
  readonly quota: Quota;
}

/** One entry of `feeds`: what is found at a public URL is published to a topic whenever its publisher says that it is new. */
export interface Feed {
  readonly namespace: Namespace;
  readonly topic: Topic;
  /** Also the `source` of its publications. */
  readonly url: string;
}

export interface PolicyFile {
  readonly topics: readonly TopicRule[];
  readonly feeds: readonly Feed[];
  readonly quotas: readonly QuotaRule[];
}

/** Largest file, in bytes. */
export const policyFileBytes = 1_048_576;
/** Most entries of each list. */
const mostEntries = 1_000;
/** Most problems told at once. */
const mostProblems = 20;

/** Least and most; whole numbers. */
type Bounds = readonly [least: number, most: number];

const topicNumbers: Readonly<Record<'retention' | 'maxBytes' | 'rate', Bounds>> = {
  retention: [1, 315_360_000],
  maxBytes: [0, 1_073_741_824],
  rate: [1, 1_000_000],
};
const quotaNumbers: Readonly<Record<keyof Quota, Bounds>> = {
  connections: [0, 1_000_000_000],
  subscriptions: [0, 1_000_000_000],
  sessions: [0, 1_000_000_000],
  publishRate: [0, 1_000_000_000],
  storedBytes: [0, 1_000_000_000_000_000],
};
const switches = ['history', 'presence', 'public'] as const;

type Json = Record<string, unknown>;
type Complain = (problem: string) => undefined;

/** @throws FileError */
export function parsePolicies(text: string): PolicyFile {
  const problems: string[] = [];
  const complain: Complain = (problem) => void problems.push(problem);
  const file = readObject(text, complain);
  const topics = readList('topics', file.topics, complain, readTopicRule);
  const quotas = readList('quotas', file.quotas, complain, readQuotaRule);
  const feeds = readList('feeds', file.feeds, complain, readFeed);
  checkTwice(feeds, complain);
  checkNames('the file', file, ['topics', 'quotas', 'feeds'], complain);
  if (problems.length > mostProblems) problems.splice(mostProblems, problems.length, 'There is more.');
  if (problems.length > 0) throw new FileError(problems);
  return { topics, quotas, feeds };
}

function readObject(text: string, complain: Complain): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch (error) {
    complain(`It is not JSON: ${(error as Error).message}.`);
    return {};
  }
  complain('It must be an object such as {"topics": [], "quotas": []}.');
  return {};
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value as it may stand in an error: JSON, so that no control character gets out, and short. */
function show(value: unknown): string {
  const text = value === undefined ? 'absent' : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

function readList<T>(
  name: string,
  value: unknown,
  complain: Complain,
  read: (entry: Json, place: string, complain: Complain) => T | undefined,
): readonly T[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > mostEntries) {
    const found = Array.isArray(value) ? `has ${value.length} entries` : `is ${show(value)}`;
    complain(`"${name}" ${found}; it must be a list of at most ${mostEntries}.`);
    return [];
  }
  return value.flatMap((entry, index) => {
    const place = `${name}[${index}]`;
    if (!isObject(entry)) {
      complain(`${place} is ${show(entry)}; it must be an object.`);
      return [];
    }
    return read(entry, place, complain) ?? [];
  });
}

function readTopicRule(entry: Json, place: string, complain: Complain): TopicRule | undefined {
  checkNames(place, entry, ['namespace', 'filter', ...Object.keys(topicNumbers), ...switches], complain);
  const filter = readFilter(entry.filter, place, complain);
  const namespace = entry.namespace === undefined ? undefined : readNamespace(entry, place, complain);
  const { retention, ...numbers } = readNumbers(entry, place, topicNumbers, complain);
  for (const name of switches) {
    const value = entry[name];
    if (value !== undefined && typeof value !== 'boolean')
      complain(`${place}.${name} is ${show(value)}; it must be true or false.`);
  }
  if (entry.public === true) checkPublic(namespace, filter, place, complain);
  return (
    filter && {
      namespace,
      filter,
      ...(retention === undefined ? {} : { retentionMs: retention * 1_000 }),
      ...numbers,
      history: entry.history !== false,
      presence: entry.presence !== false,
      ...(entry.public === true && { public: true }),
    }
  );
}

/** A stranger names no namespace, so the entry does; and what is the fleet's own is nobody's to follow. */
function checkPublic(
  namespace: Namespace | undefined,
  filter: TopicFilter | undefined,
  place: string,
  complain: Complain,
): void {
  if (namespace === undefined)
    complain(`${place}.public is true; the entry must name one namespace, such as "default".`);
  if (filter?.startsWith('$'))
    complain(`${place}.public is true; topics that begin with "$" are never public.`);
}

function readQuotaRule(entry: Json, place: string, complain: Complain): QuotaRule {
  checkNames(place, entry, ['namespace', ...Object.keys(quotaNumbers)], complain);
  const namespace = readNamespace(entry, place, complain);
  return { namespace, quota: readNumbers(entry, place, quotaNumbers, complain) };
}

function readFeed(entry: Json, place: string, complain: Complain): Feed | undefined {
  checkNames(place, entry, ['namespace', 'topic', 'url'], complain);
  const namespace = readNamespace(entry, place, complain);
  if (namespace === undefined && entry.namespace === '*')
    complain(`${place}.namespace is "*"; it must be one.`);
  const topic = readTopic(entry.topic, place, complain);
  const url = readUrl(entry.url, place, complain);
  return namespace && topic && url ? { namespace, topic, url } : undefined;
}

function readTopic(value: unknown, place: string, complain: Complain): Topic | undefined {
  if (typeof value !== 'string' || value.startsWith('$'))
    return complain(`${place}.topic is ${show(value)}; it must be a topic such as "news/today".`);
  try {
    return parseTopic(value);
  } catch (error) {
    return complain(`${place}.topic: ${(error as Error).message}`);
  }
}

/** As it will be asked for and compared: what subscribers and publishers say has to be this text. */
function readUrl(value: unknown, place: string, complain: Complain): string | undefined {
  const url = typeof value === 'string' ? URL.parse(value) : null;
  const fits = url !== null && ['http:', 'https:'].includes(url.protocol) && url.href === value;
  const isBare = url?.username === '' && url.password === '' && !url.href.includes('#');
  if (fits && isBare && value.length <= limits.nameBytes) return value;
  return complain(
    `${place}.url is ${show(value)}; it must be an http or https URL in its normal form, without user and fragment, of at most ${limits.nameBytes} characters, such as "https://blog.example/feed".`,
  );
}

/** A URL leads to one topic. */
function checkTwice(feeds: readonly Feed[], complain: Complain): void {
  const urls = new Set<string>();
  for (const { url } of feeds) {
    if (urls.has(url)) complain(`"feeds" has ${show(url)} twice; a URL is published to one topic.`);
    urls.add(url);
  }
}

function checkNames(place: string, entry: Json, names: readonly string[], complain: Complain): void {
  for (const name of Object.keys(entry)) {
    if (!names.includes(name))
      complain(`${place} has ${quote(name)}, which means nothing there; it may have ${names.join(', ')}.`);
  }
}

function readFilter(value: unknown, place: string, complain: Complain): TopicFilter | undefined {
  if (typeof value !== 'string')
    return complain(`${place}.filter is ${show(value)}; it must be a topic filter such as "orders/#".`);
  try {
    return parseTopicFilter(value);
  } catch (error) {
    return complain(`${place}.filter: ${(error as Error).message}`);
  }
}

/** "*" is every namespace. */
function readNamespace({ namespace }: Json, place: string, complain: Complain): Namespace | undefined {
  if (namespace === '*') return undefined;
  try {
    return parseNamespace(typeof namespace === 'string' ? namespace : '');
  } catch {
    return complain(
      `${place}.namespace is ${show(namespace)}; it must be "*" or a namespace: 1 to 64 letters, digits, "_" or "-".`,
    );
  }
}

function readNumbers<K extends string>(
  entry: Json,
  place: string,
  rules: Readonly<Record<K, Bounds>>,
  complain: Complain,
): Partial<Record<K, number>> {
  const numbers: Partial<Record<K, number>> = {};
  for (const [name, [least, most]] of Object.entries<Bounds>(rules)) {
    const value = entry[name];
    if (value === undefined) continue;
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) {
      numbers[name as K] = value as number;
    } else {
      complain(`${place}.${name} is ${show(value)}; it must be a whole number from ${least} to ${most}.`);
    }
  }
  return numbers;
}
