import {
  defaultNamespace,
  PushfleetError,
  parseNamespace,
  parseTopicFilter,
  quote,
  type TopicFilter,
} from '@pushfleet/core';
import type { JWTPayload } from 'jose';
import { type Action, createGrant, type Grant, type Grants } from './grant.ts';

const actions: readonly Action[] = ['publish', 'subscribe', 'presence', 'manage'];

// The last millisecond a Date can hold, so that an absurd `exp` stays a usable time.
const lastTime = 8.64e15;

/**
 * Reads what a token allows out of its verified claims.
 *
 * @param claim where the grants stand: a claim's name, or the names that lead to it
 * @throws PushfleetError `unauthenticated` where a claim is not of the form documented, `forbidden` for the namespace
 */
export function readGrant(payload: JWTPayload, claim: string | readonly string[]): Grant {
  const { sub, exp, iat, jti } = payload;
  if (typeof sub !== 'string' || sub === '')
    throw malformed('names nobody: its claim "sub" is missing or empty');
  if (typeof exp !== 'number') throw malformed('does not expire: its claim "exp" is missing');
  if (jti !== undefined && typeof jti !== 'string') throw malformed('has a claim "jti" that is no text');
  const { ns } = payload;
  if (ns !== undefined && typeof ns !== 'string') throw malformed('has a claim "ns" that is no text');
  return createGrant(
    {
      subject: sub,
      namespace: ns === undefined ? defaultNamespace : parseNamespace(ns),
      expiresAt: Math.min(exp * 1_000, lastTime),
      ...(jti === undefined ? {} : { tokenId: jti }),
      ...(iat === undefined ? {} : { issuedAt: iat * 1_000 }),
    },
    readGrants(valueAt(payload, claim), sub),
  );
}

function malformed(what: string): PushfleetError {
  return new PushfleetError('unauthenticated', `The token ${what}. Its issuer has to change that.`);
}

function valueAt(payload: JWTPayload, claim: string | readonly string[]): unknown {
  let value: unknown = payload;
  for (const name of typeof claim === 'string' ? [claim] : claim) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

function readGrants(value: unknown, subject: string): Grants {
  // A token without the claim is somebody's, and allows nothing.
  const lists = value ?? {};
  if (typeof lists !== 'object' || Array.isArray(lists)) {
    throw malformed(`has grants that are no object of lists, such as {"subscribe":["news/#"]}`);
  }
  for (const name of Object.keys(lists)) {
    if (!(actions as readonly string[]).includes(name)) {
      throw malformed(`grants ${quote(name)}, which is none of ${actions.join(', ')}`);
    }
  }
  const read = (action: Action): readonly TopicFilter[] =>
    readList(action, (lists as Record<string, unknown>)[action], subject);
  return {
    publish: read('publish'),
    subscribe: read('subscribe'),
    presence: read('presence'),
    manage: read('manage'),
  };
}

function readList(action: Action, value: unknown, subject: string): readonly TopicFilter[] {
  if (value === undefined || value === null || (action === 'manage' && value === false)) return [];
  if (action === 'manage' && value === true) return ['#' as TopicFilter];
  if (!Array.isArray(value))
    throw malformed(`grants under ${quote(action)} something that is no list of topic filters`);
  return value.map((entry: unknown) => {
    if (typeof entry !== 'string')
      throw malformed(`grants under ${quote(action)} something that is no topic filter`);
    return readFilter(action, entry, subject);
  });
}

function readFilter(action: Action, template: string, subject: string): TopicFilter {
  try {
    const filter = parseTopicFilter(substitute(template, subject));
    if (filter.startsWith('$') && !template.startsWith('$')) throw unfit(subject);
    return filter;
  } catch (error) {
    throw malformed(
      `grants a filter under ${quote(action)} that cannot be used (${(error as Error).message})`,
    );
  }
}

function substitute(template: string, subject: string): string {
  if (!template.includes('{sub}')) return template;
  // The issuer grants one level by the name of its subject. A subject may be chosen by its owner: "+" or "#"
  // would widen the level to everybody's, "/" would move into another's levels ("bob/inbox" for {sub}/inbox of
  // "bob"), a leading "$" (see readFilter) would reach the fleet's own topics. Escaping instead would give names
  // that publishers do not expect.
  if (/[/+#]/.test(subject)) throw unfit(subject);
  return template.replaceAll('{sub}', () => subject);
}

function unfit(subject: string): Error {
  return new Error(
    `the subject ${quote(subject)} cannot stand for {sub}: it has "/", "+", "#" or begins with "$"`,
  );
}
