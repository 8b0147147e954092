import { type PresenceStatus, presenceStatuses, stateOfJson } from '@pushfleet/core';
import { type Fields, invalid, numberField, textField } from './message-fields.ts';
import type { Entry, MemberPage } from './presence.ts';

/** How a client says that it is there, as JSON has it. */
export interface SaidEntry {
  readonly status?: PresenceStatus;
  /** A JSON value. */
  readonly state?: unknown;
  /** In seconds. */
  readonly ttl?: number;
}

/** What a client asks of presence, checked for its shape; names, sizes and ranges are checked by `Presence`. */
export interface PresenceRequest {
  readonly action: 'enter' | 'update' | 'leave' | 'list';
  /** What others are to see it as; undefined: its connection. */
  readonly client: string | undefined;
  /** Of enter and update. */
  readonly entry: SaidEntry;
  /** Of list. */
  readonly page: MemberPage;
}

const actions = ['enter', 'update', 'leave', 'list'] as const;

/**
 * Reads the members `action`, `client`, `status`, `state`, `ttl`, `next` and `limit` of a message; where it names the
 * topic is its protocol's own.
 *
 * @throws PushfleetError `request_invalid`
 */
export function parsePresence(fields: Fields): PresenceRequest {
  const action = actions.find((legal) => legal === fields.action);
  if (action === undefined) throw invalid(`"action" is one of ${actions.join(', ')}.`);
  const { state } = fields;
  const status = statusOf(fields);
  const ttl = numberField(fields, 'ttl');
  const after = textField(fields, 'next');
  const limit = numberField(fields, 'limit');
  return {
    action,
    client: textField(fields, 'client'),
    entry: {
      ...(status !== undefined && { status }),
      ...(state !== undefined && { state }),
      ...(ttl !== undefined && { ttl }),
    },
    page: { ...(after !== undefined && { after }), ...(limit !== undefined && { limit }) },
  };
}

function statusOf({ status }: Fields): PresenceStatus | undefined {
  if (status === undefined) return undefined;
  const found = presenceStatuses.find((legal) => legal === status);
  if (found !== undefined) return found;
  throw invalid(`"status" is one of ${presenceStatuses.join(', ')}.`);
}

export function entryOf({ status, state, ttl }: SaidEntry): Entry {
  return {
    ...(status !== undefined && { status }),
    ...(state !== undefined && stateOfJson(state)),
    ...(ttl !== undefined && { ttlMs: ttl * 1_000 }),
  };
}
