import type { Namespace, Publication } from '@pushfleet/core';
import { logScope, topicOf } from '../subject.ts';
import { leaderMessage, type StoredMessage } from './api.ts';
import type { Broker } from './broker.ts';
import { directMessage } from './direct-get.ts';
import { decodePublication } from './headers.ts';
import { patiently } from './retry.ts';

type At = Pick<Publication, 'shard' | 'sequence'>;

/** What the log holds at these places, in their order. The gate bounds how many are asked for at once. */
export function publicationsAt(
  broker: Broker,
  namespace: Namespace,
  places: readonly At[],
): Promise<(Publication | undefined)[]> {
  return Promise.all(places.map((place) => publicationAt(broker, namespace, place)));
}

async function publicationAt(
  broker: Broker,
  namespace: Namespace,
  { shard, sequence }: At,
): Promise<Publication | undefined> {
  // Nothing lies outside; the broker would take 0 for "the next".
  if (shard >= broker.layout.shards || sequence < 1) return undefined;
  const found = await patiently(() => broker.gate.run(() => messageAt(broker, shard, sequence)));
  const scope = logScope(namespace, shard);
  const topic = found?.subject.startsWith(scope) ? topicOf(scope, found.subject) : undefined;
  if (found === undefined || topic === undefined) return undefined;
  const { block, payload, time } = found;
  const publication = decodePublication(block, payload, topic, { time, shard, sequence });
  const { expiresAt } = publication;
  return expiresAt !== undefined && expiresAt <= Date.now() ? undefined : publication;
}

/** By any replica; where that one has none the leader is asked, since a replica may be behind. */
async function messageAt(
  broker: Broker,
  shard: number,
  sequence: number,
): Promise<StoredMessage | undefined> {
  const stream = broker.stream(shard);
  const near = await directMessage(broker.bulk, stream, sequence);
  return near ?? leaderMessage(broker.bulk, stream, { seq: sequence });
}
