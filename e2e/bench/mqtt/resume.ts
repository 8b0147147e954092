import { cpuSeconds } from '../cpu.ts';
import { now } from '../load/payload.ts';
import type { MqttResume } from '../mqtt-sessions-plan.ts';
import { Publisher } from './publisher.ts';
import { SessionCrowd } from './session-crowd.ts';
import { type Part, parts, type SessionFleet } from './session-fleet.ts';

export interface MqttResumeResult {
  readonly sessions: number;
  /** Until the last one was accepted, and until each had all that it was owed, since the pod was gone. */
  readonly acceptedSeconds: number;
  readonly seconds: number;
  readonly deliveries: number;
  /** CPU time in that time, in seconds. */
  readonly cpu: Readonly<Record<Part, number>>;
  /** Share of a core of the busiest of the clients' processes. */
  readonly clientCpu: number;
}

const topicOf = (number: number): string => `bench/${number}`;

/** Needs two edges, of which the first is killed. */
export async function runMqttResume(fleet: SessionFleet, o: MqttResume): Promise<MqttResumeResult> {
  const filtersOf = (client: number): string[] => [topicOf(client % o.topics)];
  const crowd = new SessionCrowd({ name: 'sessions', clients: o.sessions, filtersOf });
  const other = fleet.edge(1);
  const { topics } = o;
  const publisher = await Publisher.open(other, { version: 5, qos: 1, topics, payloadBytes: 128, topicOf });
  try {
    await crowd.come(fleet.edge(0), { atOnce: 64, subscribe: true });
    await publisher.publish(topics);
    await crowd.given(1);
    await crowd.mute();
    for (let i = 0; i < o.inflight; i++) await publisher.publish(topics);
    await crowd.given(1 + o.inflight);
    const { each = {} } = other.pids;
    await fleet.lose();
    for (let i = 0; i < o.missed; i++) await publisher.publish(topics);
    const cpu = () => Object.fromEntries(parts.map((part) => [part, cpuSeconds(each[part] ?? [])]));
    const clients = () => crowd.pids.map((pid) => cpuSeconds([pid]));
    const begin = { cpu: cpu(), clients: clients(), at: now() };
    const { present } = await crowd.come(other, { atOnce: o.atOnce, subscribe: false });
    const acceptedSeconds = (now() - begin.at) / 1e6;
    if (present !== o.sessions) throw new Error(`of ${o.sessions} sessions ${present} were there: void`);
    const owed = o.inflight + o.missed;
    const { publications, again } = await crowd.given(owed);
    const seconds = (now() - begin.at) / 1e6;
    if (publications !== owed * o.sessions || again !== o.inflight * o.sessions)
      throw new Error(`${publications} deliveries, ${again} of them with DUP, for ${owed} a session: void`);
    const end = cpu();
    const busiest = Math.max(...clients().map((after, i) => after - (begin.clients[i] as number)));
    return {
      ...{ sessions: o.sessions, acceptedSeconds, seconds, deliveries: publications },
      cpu: Object.fromEntries(
        parts.map((part) => [part, (end[part] as number) - (begin.cpu[part] as number)]),
      ) as Record<Part, number>,
      clientCpu: busiest / seconds,
    };
  } finally {
    publisher.close();
    await crowd.close();
  }
}
