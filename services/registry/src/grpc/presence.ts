import { type Member, PushfleetError, parseNamespace, parseTopicFilter } from '@pushfleet/core';
import {
  type Presence,
  type PresenceChange,
  PresenceRefusal,
  type PresenceServiceServer,
  PresenceStatus,
  type WatchPresenceResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/presence';
import type { Log } from '@pushfleet/runtime';
import {
  type MemberEntry,
  readEntry,
  readKey,
  readLease,
  readTopic,
  requireEntries,
} from '../presence/check-entry.ts';
import { presenceLimits } from '../presence/limits.ts';
import type { Refused } from '../presence/members.ts';
import { toMessage } from '../presence/message.ts';
import type { PresenceRegister } from '../presence/register.ts';
import { ChangeWriter } from './change-writer.ts';
import { unary } from './unary.ts';
import type { Sink, Watches } from './watches.ts';

export function presenceService(
  presence: PresenceRegister,
  watches: Watches,
  log: Log,
): PresenceServiceServer {
  return {
    putPresence: unary(log, async ({ instanceId, entries }) => {
      requireEntries(entries.length);
      const wanted = entries.map(readEntry);
      const answers = await presence.put(readLease(instanceId), wanted);
      const presences = answers.map((answer, index) =>
        'refused' in answer ? nobody : toMessage(wanted[index] as MemberEntry, answer satisfies Member),
      );
      return { presences, refused: answers.flatMap(refusal) };
    }),
    leavePresence: unary(log, async ({ instanceId, keys, lingerSeconds }) => {
      requireEntries(keys.length);
      requireLinger(lingerSeconds);
      await presence.leave(readLease(instanceId), keys.map(readKey), lingerSeconds * 1_000);
      return {};
    }),
    listPresence: unary(log, async ({ namespace: name, topic: text, subject, pageSize, pageToken }) => {
      const [namespace, topic] = [parseNamespace(name), readTopic(text)];
      const limit = Math.min(pageSize || presenceLimits.page, presenceLimits.pageMost);
      const { members, next, total } = await presence.list({
        namespace,
        topic,
        subject,
        after: pageToken,
        limit,
      });
      return {
        presences: members.map((member) => toMessage({ namespace, topic }, member)),
        nextPageToken: next,
        total: BigInt(total),
      };
    }),
    watchPresence: (call) =>
      watches.open(call, (sink: Sink<WatchPresenceResponse>) => {
        const { namespace, filter } = call.request;
        const writer = new ChangeWriter(sink, (changes: PresenceChange[], snapshotComplete) => ({
          changes,
          snapshotComplete,
        }));
        const stop = presence.watching.watch(parseNamespace(namespace), parseTopicFilter(filter), {
          onSnapshot: (entered) => writer.begin(entered),
          onChange: (change) => writer.add(change),
          onEnd: (error) => sink.end(error),
        });
        return () => {
          stop();
          writer.stop();
        };
      }),
  };
}

const nobody: Presence = {
  key: undefined,
  status: PresenceStatus.PRESENCE_STATUS_UNSPECIFIED,
  state: Buffer.alloc(0),
  stateContentType: '',
  enteredAt: undefined,
  changedAt: undefined,
  expiresAt: undefined,
  revision: 0n,
};

const reasons: Readonly<Record<Refused['refused'], PresenceRefusal>> = {
  topic: PresenceRefusal.PRESENCE_REFUSAL_TOPIC_FULL,
  namespace: PresenceRefusal.PRESENCE_REFUSAL_NAMESPACE_FULL,
  wait: PresenceRefusal.PRESENCE_REFUSAL_CHANGES_WAIT,
};

const refusal = (answer: Member | Refused, index: number) =>
  'refused' in answer ? [{ index, reason: reasons[answer.refused], limit: BigInt(answer.limit) }] : [];

function requireLinger(seconds: number): void {
  if (seconds <= presenceLimits.lingerSeconds) return;
  throw new PushfleetError(
    'request_invalid',
    `Members linger for at most ${presenceLimits.lingerSeconds} seconds; ${seconds} were asked for.`,
  );
}
