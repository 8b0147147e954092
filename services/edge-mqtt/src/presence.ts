import {
  type PresenceStatus,
  PushfleetError,
  parseTopic,
  presenceStatuses,
  type Topic,
} from '@pushfleet/core';
import { type Entry, entryOf } from '@pushfleet/edge';
import type { Connect } from './codec.ts';

// A client is present on the topics that its CONNECT names in user properties, for as long as the connection lasts.

const names = { topic: 'presence', status: 'presence-status', state: 'presence-state' } as const;

/** Where a client is to be present, and how. */
export interface Present {
  readonly topics: readonly Topic[];
  readonly entry: Entry;
}

const nowhere: Present = Object.freeze({ topics: [], entry: {} });

/**
 * Reads the user properties of a CONNECT: `presence`, a topic, as often as there are topics; for all of them
 * `presence-status`, and `presence-state` in JSON.
 *
 * @param most topics of a connection
 * @throws PushfleetError `topic_invalid`, `request_invalid`, `storage_full` where there are more
 */
export function readPresent({ properties }: Pick<Connect, 'properties'>, most: number): Present {
  if (properties.userProperties === undefined) return nowhere;
  const given = (wanted: string): readonly string[] =>
    (properties.userProperties ?? []).flatMap(([name, value]) => (name === wanted ? [value] : []));
  const topics = [...new Set(given(names.topic).map(parseTopic))];
  if (topics.length > most) {
    throw new PushfleetError('storage_full', `A connection is present on at most ${most} topics.`, {
      detail: { limit: most },
    });
  }
  const [status, state] = [once(names.status, given), once(names.state, given)];
  const entry = entryOf({
    ...(status !== undefined && { status: statusOf(status) }),
    ...(state !== undefined && { state: jsonOf(state) }),
  });
  return { topics, entry };
}

function once(name: string, given: (name: string) => readonly string[]): string | undefined {
  const [value, ...more] = given(name);
  if (more.length > 0) throw invalid(`The user property "${name}" stands once, for all topics.`);
  return value;
}

function statusOf(text: string): PresenceStatus {
  const status = presenceStatuses.find((legal) => legal === text);
  if (status !== undefined) return status;
  throw invalid(`The user property "${names.status}" is one of ${presenceStatuses.join(', ')}.`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid(`The user property "${names.state}" is JSON.`);
  }
}

const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
