// What the benchmark measures of webhooks, under the name of their chapter in docs/performance.md.

/** A scenario in which endpoints are called: first as fast as they are, then at half of that rate. */
export interface Hooks {
  readonly kind: 'hooks';
  readonly name: 'posts';
  readonly title: string;
  readonly topics: number;
  readonly endpointsPerTopic: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly repetitions: number;
}

/** A scenario in which endpoints are called at a steady rate while some of them never answer, and while all do. */
export interface Hanging {
  readonly kind: 'hanging';
  readonly name: 'hanging';
  readonly title: string;
  readonly topics: number;
  readonly endpointsPerTopic: number;
  readonly hangingPerTopic: number;
  /** Messages a second over all topics together. */
  readonly rate: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly repetitions: number;
}

/** A scenario in which very many deliveries wait for their next attempt, and in which many come due at once. */
export interface Appointments {
  readonly kind: 'appointments';
  readonly name: 'appointments';
  readonly title: string;
  /** How many wait, due within a day but not before an hour. */
  readonly pending: number;
  /** How many of others come due at the same moment. */
  readonly due: number;
  readonly bodyBytes: number;
}

/** A scenario in which a registry looks up who is owed publications, among very many subscriptions. */
export interface Matching {
  readonly kind: 'matching';
  readonly name: 'matching';
  readonly title: string;
  readonly subscriptions: number;
  /** All of them have one filter, or each has its own, every other one with a wildcard. */
  readonly filters: 'one' | 'own';
  /** Calls of each sort. */
  readonly calls: number;
}

export type WebhookScenario = Hooks | Hanging | Appointments | Matching;

/** Everything of webhooks, in full or as a quick look. */
export function webhookPlan(quick: boolean): WebhookScenario[] {
  return [...hooks(quick), hanging(quick), appointments(quick), ...matchings(quick)];
}

function hooks(quick: boolean): Hooks[] {
  const one = {
    ...({ kind: 'hooks', name: 'posts' } as const),
    ...{ warmUpSeconds: quick ? 1 : 3, seconds: quick ? 3 : 8, repetitions: quick ? 1 : 3 },
  };
  return [
    { ...one, title: '100 topics, each to an endpoint of its own', topics: 100, endpointsPerTopic: 1 },
    { ...one, title: '1 topic to 100 endpoints', topics: 1, endpointsPerTopic: 100 },
  ];
}

const hanging = (quick: boolean): Hanging => ({
  kind: 'hanging',
  name: 'hanging',
  title: '20 topics to 5 endpoints each, 200 messages a second',
  topics: 20,
  endpointsPerTopic: 5,
  hangingPerTopic: 1,
  rate: 200,
  warmUpSeconds: quick ? 1 : 3,
  seconds: quick ? 3 : 10,
  repetitions: quick ? 1 : 5,
});

function appointments(quick: boolean): Appointments {
  const pending = quick ? 20_000 : 1_000_000;
  return {
    ...{ kind: 'appointments', name: 'appointments', pending },
    title: `${pending.toLocaleString('en')} deliveries that wait for their next attempt`,
    due: quick ? 5_000 : 100_000,
    bodyBytes: 120,
  };
}

function matchings(quick: boolean): Matching[] {
  const subscriptions = quick ? 20_000 : 1_000_000;
  const each = { kind: 'matching', name: 'matching', subscriptions, calls: quick ? 100 : 1_000 } as const;
  const count = subscriptions.toLocaleString('en');
  return [
    { ...each, filters: 'one', title: `${count} subscriptions on one filter` },
    {
      ...each,
      filters: 'own',
      title: `${count} filters, half of them with wildcards, one subscription each`,
    },
  ];
}
