import { parseTopicFilter, quote, type TopicFilter } from '@pushfleet/core';
import type { Action, Grants } from './grant.ts';

const actions: readonly Action[] = ['publish', 'subscribe', 'presence', 'manage'];

/** Topic filters by action, as an issuer or an operator writes them: `{sub}` stands for the token's subject. */
export type GrantTemplates = Readonly<Record<Action, readonly string[]>>;

/**
 * Reads grants such as `{"subscribe": ["news/{sub}"], "manage": true}`.
 *
 * @throws Error with a phrase whose subject is whoever grants: "grants …"
 */
export function parseGrants(value: unknown): GrantTemplates {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('has grants that are no object of lists, such as {"subscribe":["news/#"]}');
  }
  for (const name of Object.keys(value)) {
    if (!(actions as readonly string[]).includes(name)) {
      throw new Error(`grants ${quote(name)}, which is none of ${actions.join(', ')}`);
    }
  }
  const lists = value as Readonly<Record<string, unknown>>;
  return {
    publish: parseList('publish', lists.publish),
    subscribe: parseList('subscribe', lists.subscribe),
    presence: parseList('presence', lists.presence),
    manage: parseList('manage', lists.manage),
  };
}

function parseList(action: Action, value: unknown): readonly string[] {
  if (value === undefined || value === null || (action === 'manage' && value === false)) return [];
  if (action === 'manage' && value === true) return ['#'];
  if (!Array.isArray(value))
    throw new Error(`grants under ${quote(action)} something that is no list of topic filters`);
  for (const entry of value as unknown[]) {
    if (typeof entry !== 'string')
      throw new Error(`grants under ${quote(action)} something that is no topic filter`);
  }
  return value as string[];
}

/**
 * The grants of one subject.
 *
 * @throws Error with a phrase as `parseGrants` does, where a filter is illegal or the subject cannot stand in it
 */
export function fillIn(templates: GrantTemplates, subject: string): Grants {
  const fill = (action: Action): readonly TopicFilter[] =>
    templates[action].map((template) => readFilter(action, template, subject));
  return {
    publish: fill('publish'),
    subscribe: fill('subscribe'),
    presence: fill('presence'),
    manage: fill('manage'),
  };
}

/** All that any of them grants. */
export function unite(all: readonly GrantTemplates[]): GrantTemplates {
  const list = (action: Action): readonly string[] => [...new Set(all.flatMap((one) => one[action]))];
  return {
    publish: list('publish'),
    subscribe: list('subscribe'),
    presence: list('presence'),
    manage: list('manage'),
  };
}

function readFilter(action: Action, template: string, subject: string): TopicFilter {
  try {
    const filter = parseTopicFilter(substitute(template, subject));
    if (filter.startsWith('$') && !template.startsWith('$')) throw unfit(subject);
    return filter;
  } catch (error) {
    throw new Error(
      `grants a filter under ${quote(action)} that cannot be used (${(error as Error).message})`,
    );
  }
}

function substitute(template: string, subject: string): string {
  if (!template.includes('{sub}')) return template;
  // One level is granted by the name of the subject. A subject may be chosen by its owner: "+" or "#" would widen
  // the level to everybody's, "/" would move into another's levels ("bob/inbox" for {sub}/inbox of "bob"), a
  // leading "$" (see readFilter) would reach the fleet's own topics. Escaping instead would give names that
  // publishers do not expect.
  if (/[/+#]/.test(subject)) throw unfit(subject);
  return template.replaceAll('{sub}', () => subject);
}

function unfit(subject: string): Error {
  return new Error(
    `the subject ${quote(subject)} cannot stand for {sub}: it has "/", "+", "#" or begins with "$"`,
  );
}
