import { hash } from 'node:crypto';
import { type Cursor, PushfleetError, parseDraft, parseTopicFilter } from '@pushfleet/core';
import type { Session, SessionFilter, Will } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Grant } from '@pushfleet/runtime';
import type { Qos } from '../codec.ts';
import { submissionOf } from '../publication/message.ts';
import { ByteSink, ByteSource, Unreadable } from './bytes.ts';
import type { Held, OwedWill, SessionKey } from './store.ts';

// What is MQTT's in the record of a session, as the registry keeps it.

/** Most bytes of an id; see SessionKey.id. */
const idBytes = 1_024;

/** The session's name in the registry: neither a subject nor a client id can be taken for a part of the other. */
export function sessionId({ subject, clientId }: SessionKey): string {
  const id = `${encodeURIComponent(subject)}/${clientId}`;
  return Buffer.byteLength(id) <= idBytes ? id : `sha256:${hash('sha256', id, 'base64url')}`;
}

/**
 * The attribute of a record whose session has hot state: where that is not there it was lost. It is set once there is
 * some, and before anything is sent that it would tell of.
 */
export const hotMark = { mqtthot: Buffer.of(1) } as const;

export const isHot = ({ attributes }: Pick<Session, 'attributes'>): boolean =>
  attributes.mqtthot !== undefined;

const marks = { qosBits: 3, noLocal: 4, retainAsPublished: 8, all: 15 } as const;

/** @param cursor the place of the log when it was subscribed */
export function recordOf(held: Held, cursor: Cursor): SessionFilter {
  const { filter, share = '', qos, noLocal, retainAsPublished, subscriptionIds } = held;
  const sink = new ByteSink();
  sink.byte(qos | (noLocal ? marks.noLocal : 0) | (retainAsPublished ? marks.retainAsPublished : 0));
  for (const id of subscriptionIds) sink.number(id);
  return { filter, group: share, options: sink.bytes, startCursor: cursor, groupId: '' };
}

/** Undefined where it cannot be read. */
export function heldOf({ filter, group, groupId, options }: SessionFilter): Held | undefined {
  try {
    const source = new ByteSource(options);
    const mark = source.byte();
    if ((mark & marks.qosBits) > 2 || mark > marks.all) throw new Unreadable('There is no such mark.');
    const subscriptionIds: number[] = [];
    while (!source.done) subscriptionIds.push(source.number());
    return {
      share: group === '' ? undefined : group,
      group: groupId === '' ? undefined : groupId,
      filter: parseTopicFilter(filter),
      qos: (mark & marks.qosBits) as Qos,
      noLocal: (mark & marks.noLocal) !== 0,
      retainAsPublished: (mark & marks.retainAsPublished) !== 0,
      subscriptionIds,
    };
  } catch {
    return undefined;
  }
}

/** Longest time that a will may have in the record, in seconds. */
const secondsMost = 0xffff_ffff;

/**
 * The publication that the will becomes, as the intake would make it. Its id is the registry's to give, the same whoever
 * publishes it, so that it appears once.
 *
 * @throws PushfleetError as a publication is refused
 */
export function willOf({ will, grant, origin }: OwedWill): Will {
  const said = submissionOf(will, origin);
  if (said instanceof PushfleetError) throw said;
  const { ttlMs, ...submission } = said.submission;
  const { topic, payload, contentType, type = '', attributes = [], retain, source } = submission;
  const draft = parseDraft({
    ...{ topic, payload, id: 'will', source: source ?? grant.subject, origin, attributes },
    contentType: contentType ?? 'application/octet-stream',
    ...(type !== '' && { type }),
  });
  return {
    ...{ topic: draft.topic, source: draft.source, contentType: draft.contentType, type, origin },
    payload: Buffer.from(payload),
    attributes: attributes.map(([name, value]) => ({ name, value })),
    retain: retain === true,
    delaySeconds: will.properties.willDelayInterval ?? 0,
    // Section 3.3.2.3.3: 0 is over at once, which no log can say.
    lifetimeSeconds: ttlMs === undefined ? 0 : Math.min(Math.max(1, Math.ceil(ttlMs / 1_000)), secondsMost),
    right: rightOf(grant),
  };
}

function rightOf({ subject, tokenId, tokenDigest, issuedAt }: Grant): Will['right'] {
  return {
    subject,
    tokenDigest,
    ...(tokenId !== undefined && { tokenId }),
    issuedAt: issuedAt === undefined ? undefined : new Date(issuedAt),
  };
}
