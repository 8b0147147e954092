import { type Bus, type Cursor, type Publication, parseCursor, type TopicFilter } from '@pushfleet/core';
import type { HotSession } from './hot-session.ts';
import type { KeptSent } from './hot-state.ts';
import type { Unfinished } from './store.ts';

/** What is read of the log for sessions that are resumed. */
export type RecallBus = Pick<Bus, 'at' | 'retained' | 'head'>;

/**
 * What a session had sent and not finished, with its publications as the log has them.
 *
 * One that is gone, by expiry or deletion, cannot be sent again: of QoS 1 it counts as acknowledged. Of QoS 2 its client
 * may have it and wait for PUBREL, and would take what comes under the same packet identifier later for this one; so its
 * PUBREL is what is owed, which a client that never had it answers just as well (section 3.7.2.1).
 *
 * @throws PushfleetError `unavailable`
 */
export async function recall(bus: RecallBus, hot: HotSession): Promise<Unfinished[]> {
  const out = [...hot.out];
  const all = out.flatMap(([, sent]) => sent ?? []);
  const found = (await publicationsOf(bus, all, hot.cursor)).values();
  const unfinished: Unfinished[] = [];
  for (const [packetId, sent] of out) {
    const publication = sent === undefined ? undefined : (found.next().value as Publication | undefined);
    if (sent !== undefined && publication === undefined) {
      if (sent.qos === 1) {
        hot.deleteOut(packetId);
        continue;
      }
      hot.setOut(packetId, undefined);
    }
    unfinished.push({ packetId, sent: sent && publication && restored(packetId, sent, publication) });
  }
  return unfinished;
}

const restored = (
  packetId: number,
  { qos, retain, subscriptionIds }: KeptSent,
  publication: Publication,
): Unfinished['sent'] => ({ packetId, qos, publication, retain, subscriptionIds });

async function publicationsOf(
  bus: RecallBus,
  all: readonly KeptSent[],
  cursor: Cursor | undefined,
): Promise<readonly (Publication | undefined)[]> {
  if (all.length === 0) return [];
  const [found, head] = await Promise.all([bus.at(all), bus.head()]);
  // Places of a log that was laid out anew since then are those of other publications.
  const same = cursor !== undefined && parseCursor(cursor).generation === parseCursor(head).generation;
  return Promise.all(
    all.map((sent, i) => {
      const publication = same ? found[i] : undefined;
      const isIt = publication !== undefined && (sent.topic ?? publication.topic) === publication.topic;
      return isIt ? publication : retainedOf(bus, sent);
    }),
  );
}

/** A retained publication may outlive its copy in the log. */
async function retainedOf(
  bus: RecallBus,
  { topic, shard, sequence }: KeptSent,
): Promise<Publication | undefined> {
  if (topic === undefined) return undefined;
  for await (const page of bus.retained(topic as TopicFilter, new AbortController().signal)) {
    const found = page.find((one) => one.shard === shard && one.sequence === sequence);
    if (found !== undefined) return found;
  }
  return undefined;
}
