import { type MqttScenario, mqttPlan } from './mqtt-plan.ts';
import { type MqttSessionsScenario, mqttSessionsPlan } from './mqtt-sessions-plan.ts';
import { type WebhookScenario, webhookPlan } from './webhook-plan.ts';

/** A scenario in which messages flow: how many listen, to what, and how messages are timed. */
export interface Flow {
  readonly kind: 'flow';
  readonly name: ScenarioName;
  readonly title: string;
  readonly topics: number;
  readonly clientsPerTopic: number;
  /** Messages a second over all topics together; absent: as fast as the clients receive them. */
  readonly rate?: number;
  /** Fine: a few messages every 2 ms; absent: a share every 10 ms. */
  readonly pace?: 'fine';
  /** Every how many clients one has its latencies taken; absent: 50. */
  readonly sampleEvery?: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly repetitions: number;
}

/** A scenario in which nothing flows: what an open connection costs. */
export interface Idle {
  readonly kind: 'idle';
  readonly name: 'idle' | 'wsIdle';
  readonly title: string;
  readonly topics: number;
  readonly clients: number;
  readonly settleSeconds: number;
  readonly repetitions: number;
}

/** A scenario in which a few clients stop reading, and one in which all of them read. */
export interface Stalled {
  readonly kind: 'stalled';
  readonly name: 'wsStalled';
  readonly title: string;
  readonly clients: number;
  /** One in so many stops. */
  readonly stallEvery: number;
  /** Sent first, one after the other: so much that the kernel's buffers of those that stopped are full. */
  readonly filling: { readonly messages: number; readonly payloadBytes: number };
  /** Messages a second, and how long each is. */
  readonly rate: number;
  readonly payloadBytes: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly repetitions: number;
}

/** A scenario that nobody listens to: what it costs to publish, each way in. */
export interface Publish {
  readonly kind: 'publish';
  readonly name: 'publish';
  readonly title: string;
  readonly publishers: readonly number[];
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly repetitions: number;
}

/** A scenario in which clients that were away come again all at once. */
export interface Storm {
  readonly kind: 'storm';
  readonly name: 'storm';
  readonly title: string;
  readonly topics: number;
  readonly clients: number;
  /** Messages to each topic while clients go away: a quarter of the clients misses all of them, a quarter a quarter. */
  readonly messages: number;
  readonly repetitions: number;
}

export type Scenario =
  | Flow
  | Idle
  | Stalled
  | Publish
  | Storm
  | WebhookScenario
  | MqttScenario
  | MqttSessionsScenario;

export const scenarioNames = [
  'fanout',
  'saturated',
  'topics',
  'idle',
  'publish',
  'latency',
  'storm',
  'posts',
  'hanging',
  'appointments',
  'matching',
  'wsFanout',
  'wsSaturated',
  'wsIdle',
  'wsStalled',
  'mqttFanout',
  'mqttSaturated',
  'mqttTopics',
  'mqttConnect',
  'mqttIdle',
  'mqttSessionsRest',
  'mqttSessionsResume',
  'mqttSessionsFlow',
] as const;
export type ScenarioName = (typeof scenarioNames)[number];

/** What docs/performance.md shows together, measured in one run. */
export const chapters = {
  deliveries: ['fanout', 'saturated', 'topics', 'idle'],
  publishing: ['publish', 'latency', 'storm'],
  webhooks: ['posts', 'hanging', 'appointments', 'matching'],
  websocket: ['wsFanout', 'wsSaturated', 'wsIdle', 'wsStalled'],
  mqtt: ['mqttFanout', 'mqttSaturated'],
  mqttConnections: ['mqttTopics', 'mqttConnect', 'mqttIdle'],
  mqttSessions: ['mqttSessionsRest', 'mqttSessionsResume', 'mqttSessionsFlow'],
} as const satisfies Readonly<Record<string, readonly ScenarioName[]>>;

/** Everything the benchmark runs, in full or as a quick look. */
export function plan(quick: boolean): Scenario[] {
  return [
    ...[...flows(quick), idle(quick), publish(quick), ...latencies(quick), storm(quick)],
    ...webhookPlan(quick),
    ...webSocketPlan(quick),
    ...mqttPlan(quick),
    ...mqttSessionsPlan(quick),
  ];
}

/** The same questions as of streams. */
const webSocketPlan = (quick: boolean): Scenario[] => [
  { ...fanout(quick), name: 'wsFanout', title: '1 topic to 1,000 WebSockets, 30 messages a second' },
  { ...saturated(quick), name: 'wsSaturated', title: '1 topic to 1,000 WebSockets, saturated' },
  // Memory differs by a few percent between repetitions.
  {
    ...idle(quick),
    repetitions: quick ? 1 : 2,
    name: 'wsIdle',
    title: '10,000 idle WebSockets on 1,000 topics',
  },
  stalled(quick),
];

const toOneTopic = (quick: boolean) => ({
  ...({ kind: 'flow', topics: 1, clientsPerTopic: 1000 } as const),
  ...{ warmUpSeconds: quick ? 1 : 2, seconds: quick ? 3 : 10, repetitions: quick ? 1 : 5 },
});

const fanout = (quick: boolean): Flow => ({
  ...toOneTopic(quick),
  // The closest of the comparisons, so the most repetitions.
  repetitions: quick ? 1 : 7,
  name: 'fanout',
  title: '1 topic to 1,000 clients, 30 messages a second',
  rate: 30,
});

const saturated = (quick: boolean): Flow => ({
  ...toOneTopic(quick),
  name: 'saturated',
  title: '1 topic to 1,000 clients, saturated',
});

const flows = (quick: boolean): Flow[] => [
  fanout(quick),
  saturated(quick),
  {
    ...{ ...toOneTopic(quick), topics: 2000, clientsPerTopic: 5 },
    // As long as Pushfleet's interval between audits of the log, so that each repetition pays for one.
    ...(quick ? {} : { seconds: 20, repetitions: 3 }),
    name: 'topics',
    title: '2,000 topics to 5 clients each, 2,000 messages a second',
    rate: 2000,
  },
];

const idle = (quick: boolean): Idle => ({
  kind: 'idle',
  name: 'idle',
  title: '10,000 idle connections on 1,000 topics',
  topics: 1000,
  clients: 10_000,
  settleSeconds: quick ? 2 : 20,
  repetitions: quick ? 1 : 3,
});

const publish = (quick: boolean): Publish => ({
  kind: 'publish',
  name: 'publish',
  title: 'Publishing 256 bytes to 1,000 topics, as fast as it is acknowledged',
  publishers: quick ? [1] : [1, 4],
  warmUpSeconds: quick ? 1 : 1.5,
  seconds: quick ? 1 : 5,
  repetitions: quick ? 1 : 3,
});

const latencies = (quick: boolean): Flow[] =>
  [100, 1000, 5000].map((rate) => ({
    kind: 'flow',
    name: 'latency',
    title: `100 topics to 3 clients each, ${rate.toLocaleString('en')} messages a second`,
    topics: 100,
    clientsPerTopic: 3,
    rate,
    pace: 'fine',
    sampleEvery: 1,
    warmUpSeconds: quick ? 1 : 2,
    seconds: quick ? 2 : 10,
    repetitions: quick ? 1 : 3,
  }));

const storm = (quick: boolean): Storm => ({
  kind: 'storm',
  name: 'storm',
  title: '5,000 clients on 100 topics come again, each having missed 25 to 100 messages',
  topics: 100,
  clients: 5000,
  messages: 100,
  repetitions: quick ? 1 : 5,
});

const stalled = (quick: boolean): Stalled => ({
  kind: 'stalled',
  name: 'wsStalled',
  title: '1 topic to 1,000 WebSockets of which 10 stop reading, 30 messages of 4 KB a second',
  clients: 1000,
  stallEvery: 100,
  // 6 MB: on Linux a connection over loopback holds less than half of that.
  filling: { messages: 100, payloadBytes: 60_000 },
  rate: 30,
  payloadBytes: 4_000,
  warmUpSeconds: 2,
  seconds: quick ? 5 : 12,
  repetitions: quick ? 1 : 4,
});
