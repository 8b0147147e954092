import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../load/payload.ts';
import type { MqttRest } from '../mqtt-sessions-plan.ts';
import { Publisher } from './publisher.ts';
import { SessionCrowd } from './session-crowd.ts';
import type { SessionFleet } from './session-fleet.ts';

/** Bytes that each session added. */
export interface MqttRestResult {
  readonly redis: number;
  readonly log: number;
  /** How many sessions a second came to be, were subscribed and left. */
  readonly perSecond: number;
}

const topics = 100;

/** Needs a fleet of its own: memory that is freed would be used again, unseen. */
export async function runMqttRest(fleet: SessionFleet, o: MqttRest): Promise<MqttRestResult> {
  // Registries and scripts that come to be with the first session are not the sessions' own.
  await someSleep(fleet, { ...o, sessions: 100 }, 'first');
  await sleep(o.settleSeconds * 1_000);
  const before = await fleet.stored();
  const started = now();
  await someSleep(fleet, o, 'rest');
  const seconds = (now() - started) / 1e6;
  await sleep(o.settleSeconds * 1_000);
  const after = await fleet.stored();
  return {
    redis: (after.redis - before.redis) / o.sessions,
    log: (after.log - before.log) / o.sessions,
    perSecond: o.sessions / seconds,
  };
}

/** Clients come, subscribe, are given something and leave. */
async function someSleep(fleet: SessionFleet, o: MqttRest, name: string): Promise<void> {
  const edge = fleet.edge(0);
  const topicOf = (number: number): string => `bench/${name}/${String(number % topics).padStart(4, '0')}/0`;
  const crowd = new SessionCrowd({
    ...{ name, clients: o.sessions },
    filtersOf: (client) =>
      Array.from({ length: o.filters }, (_, i) => topicOf(client).replace(/0$/, String(i))),
  });
  const publisher = await Publisher.open(edge, { version: 5, qos: 1, topics, payloadBytes: 128, topicOf });
  try {
    await crowd.come(edge, { atOnce: 64, subscribe: true });
    await publisher.publish(topics);
    await crowd.given(1);
    if (o.inflight > 0) {
      await crowd.mute();
      for (let i = 0; i < o.inflight; i++) await publisher.publish(topics);
      await crowd.given(1 + o.inflight);
    }
    await crowd.leave();
  } finally {
    publisher.close();
    await crowd.close();
  }
}
