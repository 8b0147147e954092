import type { Metrics } from '@pushfleet/runtime';
import type { RedisIndex } from './redis-index.ts';

/** What an operator sees of the index. */
export function declareIndex(metrics: Metrics, index: RedisIndex): void {
  metrics.gauge(
    'pushfleet_subscriptions',
    { description: 'Subscriptions of the fleet, as the index last counted them.' },
    () => index.sizes.subscriptions,
  );
  metrics.gauge(
    'pushfleet_subscription_filters',
    { description: 'Distinct filters of matched subscriptions, as the index last counted them.' },
    () => {
      const { filters, wildcards } = index.sizes;
      return [
        [filters - wildcards, { kind: 'exact' }],
        [wildcards, { kind: 'wildcard' }],
      ];
    },
  );
  metrics.gauge(
    'pushfleet_subscription_filters_held',
    { description: 'Wildcard filters in the memory of this instance.' },
    () => index.held,
  );
  metrics.total(
    'pushfleet_subscription_index_repairs',
    { description: 'How often this instance made good what Redis had lost.' },
    () => [
      [index.repairs.caught, { repair: 'caught_up' }],
      [index.repairs.rebuilt, { repair: 'rebuilt' }],
    ],
  );
}
