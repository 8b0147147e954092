import { nanos } from '@nats-io/transport-node';
import type { Namespace, TopicFilter } from '@pushfleet/core';
import { filterOf, logScope } from '../subject.ts';
import { type ApiFailure, apiError } from './api.ts';
import type { Broker } from './broker.ts';
import { type Link, unavailable } from './link.ts';
import { patiently } from './retry.ts';

/**
 * Most publications of a shard that a group has in hand. It bounds what the broker keeps of each; members that
 * hold as many together without an acknowledgement hold the others up.
 */
const inHand = 10_000;
/** Nobody is owed what the log has dropped: a group that nobody asked for longer than this owes nothing. */
const idleMs = (maxAgeMs: number): number => maxAgeMs + 86_400_000;

/** No group of `Bus.work` has such a name. */
export const consumerOf = (namespace: Namespace, group: string): string => `${namespace}=share=${group}`;

/** One durable pull consumer for each shard, which begins behind what is stored when this is called. */
export async function openGroup(
  broker: Broker,
  namespace: Namespace,
  group: string,
  filter: TopicFilter,
  leaseMs: number,
): Promise<void> {
  const views = await broker.views();
  const consumer = consumerOf(namespace, group);
  await Promise.all(
    views.map(({ lastSequence, maxAgeMs }, shard) => {
      const subject = filterOf(logScope(namespace, shard), filter);
      const config = {
        durable_name: consumer,
        filter_subject: subject,
        ack_policy: 'explicit',
        ack_wait: nanos(leaseMs),
        max_ack_pending: inHand,
        // Not "new": asked again after a lost answer, or on a replica that is behind, it has to mean the same.
        deliver_policy: 'by_start_sequence',
        opt_start_seq: lastSequence + 1,
        ...(Number.isFinite(maxAgeMs) && { inactive_threshold: nanos(idleMs(maxAgeMs)) }),
      };
      const stream = broker.stream(shard);
      const body = { stream_name: stream, config, action: 'create' };
      return patiently(async () => {
        const name = `CREATE.${stream}.${consumer}.${subject}`;
        const failure = await ask(broker.bulk, name, JSON.stringify(body));
        // It is there, and begins earlier.
        if (failure === undefined || failure.err_code === apiError.consumerExists) return;
        throw unavailable(`The group cannot be made: ${failure.description ?? failure.code}.`);
      });
    }),
  );
}

export async function closeGroup(broker: Broker, namespace: Namespace, group: string): Promise<void> {
  const consumer = consumerOf(namespace, group);
  await Promise.all(
    broker.layout.views.map((_, shard) =>
      patiently(async () => {
        const failure = await ask(broker.bulk, `DELETE.${broker.stream(shard)}.${consumer}`);
        if (failure === undefined || failure.err_code === apiError.consumerNotFound) return;
        throw unavailable(`The group cannot be removed: ${failure.description ?? failure.code}.`);
      }),
    ),
  );
}

/** Whether the group's consumer of this shard is there. */
export async function hasConsumer(link: Link, stream: string, consumer: string): Promise<boolean> {
  const failure = await ask(link, `INFO.${stream}.${consumer}`);
  if (failure?.err_code === apiError.consumerNotFound) return false;
  if (failure === undefined) return true;
  throw unavailable(`The group cannot be asked for: ${failure.description ?? failure.code}.`);
}

async function ask(link: Link, name: string, body = ''): Promise<ApiFailure | undefined> {
  const answer = await link.request(`$JS.API.CONSUMER.${name}`, body);
  return answer.json<{ readonly error?: ApiFailure }>().error;
}
