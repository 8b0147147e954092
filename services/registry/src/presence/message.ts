import {
  bytesOfBase64,
  type Member,
  type Namespace,
  type PresenceKind,
  type Publication,
  presencePrefix,
  type Topic,
  textOf,
} from '@pushfleet/core';
import {
  type Presence,
  type PresenceChange,
  PresenceChangeKind,
  PresenceStatus,
} from '@pushfleet/proto/pushfleet/registry/v1/presence';

const statuses: Readonly<Record<string, PresenceStatus>> = {
  online: PresenceStatus.PRESENCE_STATUS_ONLINE,
  away: PresenceStatus.PRESENCE_STATUS_AWAY,
  busy: PresenceStatus.PRESENCE_STATUS_BUSY,
  offline: PresenceStatus.PRESENCE_STATUS_OFFLINE,
};

const kinds: Readonly<Record<PresenceKind, PresenceChangeKind>> = {
  entered: PresenceChangeKind.PRESENCE_CHANGE_KIND_ENTERED,
  updated: PresenceChangeKind.PRESENCE_CHANGE_KIND_UPDATED,
  left: PresenceChangeKind.PRESENCE_CHANGE_KIND_LEFT,
  expired: PresenceChangeKind.PRESENCE_CHANGE_KIND_EXPIRED,
};

interface Place {
  readonly namespace: Namespace;
  readonly topic: Topic;
}

export function toMessage({ namespace, topic }: Place, member: Member): Presence {
  const { subject, client, status, state, stateContentType, since, changed, expiresAt, revision } = member;
  return {
    key: { namespace, topic, subject, clientId: client },
    status: statuses[status] as PresenceStatus,
    state: Buffer.from(state),
    stateContentType,
    enteredAt: new Date(since),
    changedAt: new Date(changed),
    expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
    revision: BigInt(revision),
  };
}

export const enteredMessage = (place: Place, member: Member): PresenceChange => ({
  kind: kinds.entered,
  presence: toMessage(place, member),
});

/** A change as it was published below `$presence/`; undefined for what the fleet did not write. */
export function readPublication(namespace: Namespace, publication: Publication): PresenceChange | undefined {
  const change = JSON.parse(textOf(publication.payload)) as Readonly<Record<string, unknown>>;
  const kind = kinds[change.kind as PresenceKind];
  const status = statuses[String(change.status)];
  if (kind === undefined || status === undefined) return undefined;
  return {
    kind,
    presence: {
      key: {
        namespace,
        topic: publication.topic.slice(presencePrefix.length),
        subject: String(change.subject),
        clientId: String(change.client),
      },
      status,
      ...readState(change),
      enteredAt: new Date(String(change.since)),
      changedAt: new Date(String(change.changed)),
      expiresAt: undefined,
      revision: BigInt(change.revision as number),
    },
  };
}

function readState(change: Readonly<Record<string, unknown>>): Pick<Presence, 'state' | 'stateContentType'> {
  const { state, stateBase64, stateContentType } = change;
  if (stateBase64 !== undefined) {
    return {
      state: Buffer.from(bytesOfBase64(String(stateBase64)) ?? []),
      stateContentType: String(stateContentType),
    };
  }
  if (state === undefined) return { state: Buffer.alloc(0), stateContentType: '' };
  if (stateContentType === undefined)
    return { state: Buffer.from(JSON.stringify(state)), stateContentType: 'application/json' };
  return { state: Buffer.from(String(state)), stateContentType: String(stateContentType) };
}
