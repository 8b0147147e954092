/** A scenario in which messages flow: how many listen, to what, and how messages are timed. */
export interface Flow {
  readonly kind: 'flow';
  readonly name: ScenarioName;
  readonly title: string;
  readonly topics: number;
  readonly clientsPerTopic: number;
  /** Messages a second over all topics together; absent: as fast as the clients receive them. */
  readonly rate?: number;
  readonly seconds: number;
  readonly repetitions: number;
}

/** A scenario in which nothing flows: what an open connection costs. */
export interface Idle {
  readonly kind: 'idle';
  readonly name: 'idle';
  readonly title: string;
  readonly topics: number;
  readonly clients: number;
  readonly settleSeconds: number;
  readonly repetitions: number;
}

export type Scenario = Flow | Idle;

export const scenarioNames = ['fanout', 'saturated', 'topics', 'idle'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

/** Everything the benchmark runs, in full or as a quick look. */
export function plan(quick: boolean): Scenario[] {
  const seconds = quick ? 4 : 10;
  const repetitions = quick ? 1 : 5;
  const one = { kind: 'flow', topics: 1, clientsPerTopic: 1000, seconds, repetitions } as const;
  return [
    {
      ...one,
      // The closest of the comparisons, so the most repetitions.
      repetitions: quick ? 1 : 7,
      name: 'fanout',
      title: '1 topic to 1,000 clients, 30 messages a second',
      rate: 30,
    },
    { ...one, name: 'saturated', title: '1 topic to 1,000 clients, saturated' },
    {
      ...{ ...one, topics: 2000, clientsPerTopic: 5 },
      // As long as Pushfleet's interval between audits of the log, so that each repetition pays for one.
      ...(quick ? {} : { seconds: 20, repetitions: 3 }),
      name: 'topics',
      title: '2,000 topics to 5 clients each, 2,000 messages a second',
      rate: 2000,
    },
    {
      kind: 'idle',
      name: 'idle',
      title: '10,000 idle connections on 1,000 topics',
      topics: 1000,
      clients: 10_000,
      settleSeconds: quick ? 5 : 20,
      repetitions: quick ? 1 : 3,
    },
  ];
}
