import { PushfleetError } from '@pushfleet/core';
import type {
  Session,
  SessionFilter,
  UpdateSessionRequest,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { attempts, contended, over, type Parts } from './parts.ts';
import { type Key, refOf } from './record.ts';

const nameOf = ({ filter, group }: Pick<SessionFilter, 'filter' | 'group'>): string => `${group}\0${filter}`;

/** Changes a record by its owner. @throws PushfleetError `conflict`, `too_many_filters`, `payload_too_large`, `unavailable` */
export async function update(
  parts: Parts,
  mostFilters: number,
  key: Key,
  request: UpdateSessionRequest,
): Promise<Session> {
  const { ledger, groups } = parts;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const held = await ledger.get(refOf(key));
    const { record } = held ?? {};
    if (held === undefined || record?.generation !== request.generation || record.owner === undefined)
      throw over(key, request.generation);
    if (request.number > 0n && request.number <= record.lastUpdate) return record;
    const joined: SessionFilter[] = [];
    try {
      const filters = await changed(parts, mostFilters, key, record, request, joined);
      const kept = new Set(filters.map(nameOf));
      const left = record.filters.filter((filter) => !kept.has(nameOf(filter)));
      await groups.doubt(key, left);
      const stored = await ledger.put(applied({ ...record, filters }, request), held.revision);
      if (stored !== undefined) {
        await Promise.all([groups.keep(key, joined), groups.leave(key, left)]);
        return stored.record;
      }
      await groups.keep(key, left);
    } catch (error) {
      await leaveUnused(parts, key, joined).catch(() => {});
      throw error;
    }
    await leaveUnused(parts, key, joined);
  }
  throw contended(key);
}

/** The filters after the change; those that join a group are added to `joined`. */
async function changed(
  { groups }: Parts,
  most: number,
  key: Key,
  record: Session,
  { addFilters, removeFilters }: UpdateSessionRequest,
  joined: SessionFilter[],
): Promise<SessionFilter[]> {
  const filters = new Map(record.filters.map((filter) => [nameOf(filter), filter]));
  for (const name of removeFilters) filters.delete(nameOf(name));
  const added = new Set([...filters.keys(), ...addFilters.map(nameOf)]);
  if (addFilters.length > 0 && added.size > most) throw tooMany(most);
  for (const filter of addFilters) {
    const known = filters.get(nameOf(filter))?.groupId ?? '';
    const groupId =
      filter.group === '' || known !== '' ? known : await groups.join(key, filter.filter, filter.group);
    const next = { ...filter, groupId };
    if (groupId !== known) joined.push(next);
    filters.set(nameOf(filter), next);
  }
  return [...filters.values()];
}

/** Nothing was written, or it is not known whether it was. */
async function leaveUnused(
  { ledger, groups }: Parts,
  key: Key,
  joined: readonly SessionFilter[],
): Promise<void> {
  if (joined.length === 0) return;
  const held = await ledger.get(refOf(key));
  const used = new Set(held?.record.filters.map(({ groupId }) => groupId));
  await Promise.all([
    groups.leave(
      key,
      joined.filter(({ groupId }) => !used.has(groupId)),
    ),
    groups.keep(
      key,
      joined.filter(({ groupId }) => used.has(groupId)),
    ),
  ]);
}

function applied(record: Session, request: UpdateSessionRequest): Session {
  const { willChange, expirySeconds, attributes, cursor, number } = request;
  const next = { ...record, attributes: { ...record.attributes } };
  if (willChange?.$case === 'will') next.will = willChange.will;
  else if (willChange?.clearWill) next.will = undefined;
  if (expirySeconds !== undefined) next.expirySeconds = expirySeconds;
  if (cursor !== undefined) next.cursor = cursor;
  if (number > 0n) next.lastUpdate = number;
  for (const [name, value] of Object.entries(attributes)) {
    if (value.length > 0) next.attributes[name] = value;
    else delete next.attributes[name];
  }
  return next;
}

const tooMany = (limit: number): PushfleetError =>
  new PushfleetError('too_many_filters', `A session has at most ${limit} filters.`, { detail: { limit } });
