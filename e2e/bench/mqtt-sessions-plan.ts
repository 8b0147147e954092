// What the benchmark measures of sessions that outlive their connections, under the name of its chapter in
// docs/performance.md.
import type { MqttFlow } from './mqtt-plan.ts';

/** Sessions whose clients are away: what one of them takes. */
export interface MqttRest {
  readonly kind: 'mqttRest';
  readonly name: 'mqttSessionsRest';
  readonly title: string;
  readonly sessions: number;
  /** How many filters each has. */
  readonly filters: number;
  /** How much each was sent and did not acknowledge. */
  readonly inflight: number;
  readonly settleSeconds: number;
  readonly repetitions: number;
}

/** A pod dies, and all its clients come to another one at once. */
export interface MqttResume {
  readonly kind: 'mqttResume';
  readonly name: 'mqttSessionsResume';
  readonly title: string;
  readonly topics: number;
  readonly sessions: number;
  /** How much each was sent and did not acknowledge. */
  readonly inflight: number;
  /** How much was published to each while nobody had it. */
  readonly missed: number;
  /** Handshakes at the same time. */
  readonly atOnce: number;
  readonly repetitions: number;
}

/** Messages flow to clients with sessions that last, and to others with sessions that end with their connections. */
export interface MqttLasting extends Omit<MqttFlow, 'kind' | 'name'> {
  readonly kind: 'mqttLasting';
  readonly name: 'mqttSessionsFlow';
}

export type MqttSessionsScenario = MqttRest | MqttResume | MqttLasting;

export function mqttSessionsPlan(quick: boolean): MqttSessionsScenario[] {
  return [...rest(quick), ...resume(quick), ...lasting(quick)];
}

const thousands = (count: number): string => count.toLocaleString('en');

function rest(quick: boolean): MqttRest[] {
  const sessions = quick ? 1_000 : 10_000;
  return [
    [1, 0],
    [10, 0],
    [1, 10],
  ].map(([filters = 1, inflight = 0]) => ({
    ...({ kind: 'mqttRest', name: 'mqttSessionsRest', sessions, filters, inflight } as const),
    title: `${thousands(sessions)} sessions whose clients are away, ${filters === 1 ? '1 filter' : `${filters} filters`}, ${inflight} in flight`,
    ...{ settleSeconds: quick ? 2 : 5, repetitions: quick ? 1 : 2 },
  }));
}

function resume(quick: boolean): MqttResume[] {
  const sessions = quick ? 500 : 5_000;
  return [
    [5, 0],
    [5, 20],
  ].map(([inflight = 0, missed = 0]) => ({
    ...({ kind: 'mqttResume', name: 'mqttSessionsResume', topics: 100, sessions, inflight, missed } as const),
    title: `${thousands(sessions)} clients of a pod that died come to another one, ${inflight} in flight and ${missed} missed each`,
    ...{ atOnce: 256, repetitions: quick ? 1 : 3 },
  }));
}

function lasting(quick: boolean): MqttLasting[] {
  const common = {
    ...({ kind: 'mqttLasting', name: 'mqttSessionsFlow', version: 5, qos: 1, payloadBytes: 128 } as const),
    ...{ warmUpSeconds: quick ? 1 : 2, seconds: quick ? 3 : 10, repetitions: quick ? 1 : 5 },
  };
  const clients = quick ? 200 : 1_000;
  const topics = quick ? 100 : 500;
  return [
    {
      ...{ ...common, topics: 1, clientsPerTopic: clients, rate: 30 },
      title: `MQTT 5, QoS 1: 1 topic to ${thousands(clients)} clients, 30 messages a second`,
    },
    {
      ...{ ...common, topics, clientsPerTopic: 5, rate: 4 * topics },
      title: `MQTT 5, QoS 1: ${topics} topics to 5 clients each, ${thousands(4 * topics)} messages a second`,
    },
  ];
}
