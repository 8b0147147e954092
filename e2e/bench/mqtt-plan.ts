// What the benchmark measures of MQTT, under the name of its chapter in docs/performance.md.
import type { Qos, Version } from './mqtt/packets.ts';

/** Messages flow from one publisher to many clients. */
export interface MqttFlow {
  readonly kind: 'mqttFlow';
  readonly name: 'mqttFanout' | 'mqttSaturated' | 'mqttTopics';
  readonly title: string;
  readonly version: Version;
  /** Of the publisher and of the subscriptions. */
  readonly qos: Qos;
  readonly topics: number;
  readonly clientsPerTopic: number;
  readonly payloadBytes: number;
  /** Messages a second over all topics together; absent: as fast as the clients receive them. */
  readonly rate?: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly repetitions: number;
}

/** Clients come and go. */
export interface MqttConnect {
  readonly kind: 'mqttConnect';
  readonly name: 'mqttConnect';
  readonly title: string;
  readonly version: Version;
  readonly warmUpVisits: number;
  readonly visits: number;
  readonly atOnce: number;
  readonly repetitions: number;
}

/** Nothing flows: what an open connection costs. */
export interface MqttIdle {
  readonly kind: 'mqttIdle';
  readonly name: 'mqttIdle';
  readonly title: string;
  readonly version: Version;
  readonly topics: number;
  readonly clients: number;
  readonly settleSeconds: number;
  readonly repetitions: number;
}

export type MqttScenario = MqttFlow | MqttConnect | MqttIdle;

const nameOf = { 4: 'MQTT 3.1.1', 5: 'MQTT 5' } as const;
const ways = ([4, 5] as const).flatMap((version) => ([0, 1] as const).map((qos) => ({ version, qos })));

/** Everything of MQTT, in full or as a quick look. */
export function mqttPlan(quick: boolean): MqttScenario[] {
  return [...fanouts(quick), ...saturated(quick), ...topics(quick), visits(quick), ...idle(quick)];
}

const flow = (quick: boolean) => ({
  ...({ kind: 'mqttFlow', payloadBytes: 128 } as const),
  ...{ warmUpSeconds: quick ? 1 : 1.5, seconds: 3, repetitions: quick ? 1 : 3 },
});

const fanouts = (quick: boolean): MqttFlow[] =>
  ways.map((way) => ({
    ...{ ...flow(quick), ...way, topics: 1, clientsPerTopic: 1000, rate: 30 },
    name: 'mqttFanout',
    title: `${nameOf[way.version]}, QoS ${way.qos}: 1 topic to 1,000 clients, 30 messages a second`,
  }));

const saturated = (quick: boolean): MqttFlow[] =>
  ways
    .filter(({ version }) => version === 4)
    .map((way) => ({
      ...{ ...flow(quick), ...way, topics: 1, clientsPerTopic: 1000, repetitions: quick ? 1 : 2 },
      name: 'mqttSaturated',
      title: `${nameOf[way.version]}, QoS ${way.qos}: 1 topic to 1,000 clients, saturated`,
    }));

const topics = (quick: boolean): MqttFlow[] =>
  ways
    .filter(({ version }) => version === 4)
    .map((way) => ({
      ...{ ...flow(quick), ...way, topics: 500, clientsPerTopic: 5, rate: 2000, repetitions: quick ? 1 : 2 },
      name: 'mqttTopics',
      title: `${nameOf[way.version]}, QoS ${way.qos}: 500 topics to 5 clients each, 2,000 messages a second`,
    }));

const visits = (quick: boolean): MqttConnect => ({
  ...({ kind: 'mqttConnect', name: 'mqttConnect', version: 4 } as const),
  title: 'MQTT 3.1.1: connections that come, are accepted and leave, 64 at a time',
  ...{ warmUpVisits: 500, visits: quick ? 2_000 : 5_000, atOnce: 64, repetitions: quick ? 1 : 3 },
});

const idle = (quick: boolean): MqttIdle[] =>
  ([4, 5] as const).map((version) => ({
    ...({ kind: 'mqttIdle', name: 'mqttIdle', version, topics: 1000, clients: 10_000 } as const),
    title: `${nameOf[version]}: 10,000 idle connections on 1,000 topics`,
    ...{ settleSeconds: quick ? 2 : 4, repetitions: quick ? 1 : 2 },
  }));
