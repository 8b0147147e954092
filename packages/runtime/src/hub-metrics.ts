import type { Metrics } from './metrics.ts';

/** What a process's hubs say of themselves; the packages know nothing of each other. */
export interface HubReadings {
  readonly namespaces: number;
  readonly feeds: number;
  readonly filters: number;
  readonly followed: number;
  readonly ring: { readonly count: number; readonly bytes: number };
  readonly outbox: { readonly count: number; readonly bytes: number };
  readonly replays: { readonly reading: number; readonly waiting: number };
}

/** Declares the `pushfleet_hub_…` gauges of a service that holds hubs. */
export function declareHubMetrics(metrics: Pick<Metrics, 'gauge'>, hubs: { stats(): HubReadings }): void {
  const stats = oncePerTurn(() => hubs.stats());
  const gauge = (name: string, description: string, read: (of: HubReadings) => number): void =>
    metrics.gauge(`pushfleet_hub_${name}`, { description }, () => read(stats()));
  gauge('namespaces', 'Namespaces with a hub.', (of) => of.namespaces);
  gauge('feeds', 'Feeds open: one for each stream of a client.', (of) => of.feeds);
  gauge('filters', 'Filters that feeds hold, each once.', (of) => of.filters);
  gauge('followed_filters', 'Filters followed on the log for them.', (of) => of.followed);
  gauge('ring_publications', 'Recent publications kept for resumes.', (of) => of.ring.count);
  gauge('ring_bytes', 'Bytes of recent publications kept for resumes.', (of) => of.ring.bytes);
  gauge('outbox_publications', 'Publications that wait for clients to read.', (of) => of.outbox.count);
  gauge('outbox_bytes', 'Bytes of publications that wait for clients to read.', (of) => of.outbox.bytes);
  metrics.gauge('pushfleet_hub_replays', { description: 'Reads of the log for resumes, by state.' }, () => {
    const { reading, waiting } = stats().replays;
    return [
      [reading, { state: 'reading' }],
      [waiting, { state: 'waiting' }],
    ];
  });
}

/** All gauges are read in one turn; one walk over the feeds serves them. */
function oncePerTurn<T>(read: () => T): () => T {
  let value: T | undefined;
  return () => {
    if (value === undefined) {
      value = read();
      setImmediate(() => {
        value = undefined;
      });
    }
    return value;
  };
}

/** Counts what was lost on the way and found in the log; what it returns is told of each healing. */
export function declareHealing(
  metrics: Pick<Metrics, 'counter'>,
): (report: { readonly reason: string; readonly found: number }) => void {
  const healed = metrics.counter('pushfleet_healed_publications', {
    description: 'Live publications that were lost on the way and read from the log, by what gave them away.',
  });
  return ({ reason, found }) => healed.add(found, { reason });
}
