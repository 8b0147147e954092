import type { Member } from '@pushfleet/core';
import {
  entryOf,
  type Fields,
  invalid,
  notPresent,
  type Parting,
  type Presence,
  type PresenceClient,
  type PresenceRequest,
  parsePresence,
  textField,
} from '@pushfleet/edge';
import type { Log } from '@pushfleet/runtime';
import { topicOf } from './channel.ts';
import type { Message } from './message.ts';
import { isOver, type PresentOn } from './record.ts';
import { holdRoom } from './room.ts';
import type { Session } from './session.ts';

/** What sessions have to do with presence. */
export interface Members {
  /** A message to /service/presence; resolves to the data of its answer, as JSON. */
  ask(session: Session, message: Message): Promise<string>;
  /** The session ended, here or for good. */
  leaveAll(session: Session, how: Parting): void;
  /** The session came from another instance: its members are this one's now. */
  comeBack(session: Session): void;
}

export interface MembersOptions {
  readonly presence: Pick<Presence, 'enter' | 'update' | 'leave' | 'list' | 'leaveAll'>;
  readonly encode: (member: Member) => string;
  readonly log: Pick<Log, 'warn'>;
  /** What a session is present on has changed. @throws PushfleetError `unavailable` */
  store(session: Session): Promise<void>;
}

/** Presence over a service channel. Members belong to sessions: they go on with them at another instance. */
export function createMembers({ presence, encode, log, store }: MembersOptions): Members {
  const by = (session: Session, client: string | undefined): PresenceClient => ({
    id: client ?? session.connection,
    connection: session.connection,
  });
  const enter = (session: Session, { topic, client, entry, until }: PresentOn): Promise<Member> => {
    const rest = until !== undefined && { ttl: Math.max(1, Math.ceil((until - Date.now()) / 1_000)) };
    return presence.enter(session.grant, topic, by(session, client), entryOf({ ...entry, ...rest }));
  };
  return {
    async ask(session, message) {
      const { action, channel, client, entry: said, page } = readAsk(message);
      const topic = topicOf(channel);
      const { grant } = session;
      const answer = (members: readonly Member[], more: object = {}): string =>
        `{"action":"${action}","channel":${JSON.stringify(channel)},"members":[${members.map(encode).join(',')}]${JSON.stringify(
          more,
        )
          .slice(1, -1)
          .replace(/^(?=.)/, ',')}}`;
      if (action === 'list') {
        const { members, next, total } = await presence.list(grant, topic, page);
        return answer(members, { total, ...(next !== undefined && { next }) });
      }
      const place = `${client ?? ''} ${topic}`;
      if (action === 'leave') {
        await presence.leave(grant, topic, by(session, client));
        session.presences.delete(place);
        await store(session);
        return answer([]);
      }
      prune(session);
      const before = session.presences.get(place);
      if (action === 'update' && before === undefined) throw notPresent(topic, by(session, client).id);
      // An update is a heartbeat, too: the time to live begins anew.
      const ttl = said.ttl ?? (action === 'update' ? before?.entry.ttl : undefined);
      const until = ttl !== undefined && ttl > 0 && { until: Date.now() + ttl * 1_000 };
      const as = (kept: PresentOn['entry'] | undefined): PresentOn => ({
        ...{ topic, entry: { ...(action === 'update' && kept), ...said }, ...until },
        ...(client !== undefined && { client }),
      });
      const giveBack = holdRoom(session, as(before?.entry), before);
      let member: Member;
      try {
        const entry = entryOf({ ...said, ...(ttl !== undefined && { ttl }) });
        member = await presence[action](grant, topic, by(session, client), entry);
        session.presences.set(place, as(session.presences.get(place)?.entry));
      } finally {
        giveBack();
      }
      await store(session);
      return answer([member]);
    },
    leaveAll(session, how) {
      if (session.presences.size > 0) presence.leaveAll(session.connection, how);
    },
    comeBack(session) {
      prune(session);
      for (const one of session.presences.values()) {
        enter(session, one).catch((err: unknown) => log.warn({ err }, 'a member could not come back'));
      }
    },
  };
}

/** Whoever has left by itself does not come back with the session. */
function prune({ presences }: Session): void {
  for (const [place, one] of presences) if (isOver(one)) presences.delete(place);
}

function readAsk({ data }: Message): PresenceRequest & { readonly channel: string } {
  const fields = (typeof data === 'object' && data !== null ? data : {}) as Fields;
  const request = parsePresence(fields);
  const channel = textField(fields, 'channel');
  if (channel === undefined) throw invalid('The data has no "channel", such as "/room/7".');
  return { ...request, channel };
}
