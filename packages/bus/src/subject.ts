import { hash } from 'node:crypto';
import { isReserved, type Namespace, type Topic, type TopicFilter } from '@pushfleet/core';

/**
 * Topics as NATS subjects. A level becomes a token; what NATS gives a meaning is escaped; the last token closes
 * every subject, so that the one interest `….a.>` includes the topic `a` itself:
 *
 *   pf.log.<shard>.<namespace>.<class>.<levels>.%%    stored
 *   pf.live.<namespace>.<class>.<levels>.%%           republished; without the shard one interest covers them all
 *   pf.kept.<namespace>.<class>.<levels>.%%           retained
 *   pf.ledger.<name>.<levels of the key>.%%           ledgers
 *   pf.shelf.<name>.<levels of the key>.%%            shelves
 *   pf.queue.<name>.now.<slot>                        entries of queues
 *   pf.queue.<name>.later.<slot>.<levels of the key>.%%   their appointments
 *
 * The class is `s` for topics whose first level begins with `$`, else `t`: no wildcard crosses it. A literal
 * token comes first because nats-server refuses streams whose subjects begin with a wildcard ("subjects that
 * overlap with jetstream api": `*.log.0.>` would match `$JS.log.0.x`).
 */
const end = '%%';

/** Everything this fleet stores or sends lies under it. */
export const subjectRoot = 'pf';

const special = /[.*>%\u0000-\u0020\u007f]/g;
const plain = /^[^.*>%\u0000-\u0020\u007f/]+(?:\/[^.*>%\u0000-\u0020\u007f/]+)*$/;

function escapeLevel(level: string): string {
  if (level === '') return '%';
  return level.replace(
    special,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

/** The levels of `text` as tokens, with the closing one. */
export function toTokens(text: string): string {
  if (plain.test(text)) return `${text.replaceAll('/', '.')}.${end}`;
  return `${text.split('/').map(escapeLevel).join('.')}.${end}`;
}

/** What `toTokens` was given; undefined where it did not make these tokens. */
export function fromTokens(tokens: string): string | undefined {
  if (!tokens.endsWith(`.${end}`)) return undefined;
  const levels = tokens.slice(0, -end.length - 1);
  if (!levels.includes('%')) return levels.replaceAll('.', '/');
  const text = levels.split('.').map(unescapeLevel).join('/');
  return toTokens(text) === tokens ? text : undefined;
}

function unescapeLevel(token: string): string {
  if (token === '%') return '';
  return token.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** The subjects of a key and of all keys below it, under any scope; `#` alone means every key. */
export function tokensFrom(key: string): string {
  return key === '#' ? '>' : `${toTokens(key).slice(0, -end.length)}>`;
}

const classOf = (text: Topic | TopicFilter): string => (isReserved(text) ? 's' : 't');

/** What stands before the class in a namespace's subjects, of one kind and, where stored, one shard. */
export const logScope = (namespace: Namespace, shard: number): string =>
  `${subjectRoot}.log.${shard}.${namespace}.`;
export const liveScope = (namespace: Namespace): string => `${subjectRoot}.live.${namespace}.`;
export const keptScope = (namespace: Namespace): string => `${subjectRoot}.kept.${namespace}.`;

export const shelfScope = (name: string): string => `${subjectRoot}.shelf.${name}.`;
export const queueScope = (name: string): string => `${subjectRoot}.queue.${name}.`;

export function subjectOf(scope: string, topic: Topic): string {
  return `${scope}${classOf(topic)}.${toTokens(topic)}`;
}

/** `+` is `*`; `#` is `>`, which takes the closing token's place. */
export function filterOf(scope: string, filter: TopicFilter): string {
  const levels = filter.split('/');
  const deep = levels.at(-1) === '#';
  const tokens = levels
    .slice(0, deep ? -1 : undefined)
    .map((level) => (level === '+' ? '*' : escapeLevel(level)));
  return `${scope}${[classOf(filter), ...tokens, deep ? '>' : end].join('.')}`;
}

/** The topic of a subject of that scope; undefined where the fleet did not make it. */
export function topicOf(scope: string, subject: string): Topic | undefined {
  return fromTokens(subject.slice(scope.length + 2)) as Topic | undefined;
}

/** The broker's deduplication key. Namespace and topic are in it because an id is only unique within its source and topic. */
export function messageId(namespace: Namespace, source: string, topic: Topic, id: string): string {
  // No part can hold NUL, so the text is unambiguous; 132 bits keep the broker's memory of ids small.
  return hash('sha256', `${namespace}\0${source}\0${topic}\0${id}`, 'base64url').slice(0, 22);
}
