import type { Metrics } from '@pushfleet/runtime';
import type { Books } from './books.ts';
import type { Dispatch } from './dispatch.ts';
import type { Expander } from './expander.ts';
import type { LaneBook } from './lane-book.ts';
import type { Selections } from './selections.ts';
import type { Shares } from './shares.ts';

/** What an operator sees of a worker beside its attempts, which its courier counts. */
export function declareDeliveryMetrics(
  metrics: Metrics,
  of: {
    readonly dispatch: Dispatch;
    readonly lanes: LaneBook;
    readonly expander: Expander;
    readonly slots: Shares;
    readonly books: Books;
    readonly selections: Selections;
  },
): void {
  metrics.gauge(
    'pushfleet_deliveries_under_way',
    {
      description: 'Deliveries in this worker, by what they do: young, slow, waiting for their lane, ready.',
    },
    () => Object.entries(of.dispatch.counts).map(([stage, count]) => [count, { stage }] as const),
  );
  metrics.gauge(
    'pushfleet_delivery_lanes',
    { description: 'Receivers that this worker has in mind.' },
    () => of.lanes.size,
  );
  metrics.gauge(
    'pushfleet_delivery_slots',
    { description: 'Slots of the queue that this worker owns.' },
    () => of.slots.size,
  );
  metrics.total(
    'pushfleet_delivery_publications_expanded',
    { description: 'Publications whose receivers were looked up here.' },
    () => of.expander.counts.publications,
  );
  metrics.total(
    'pushfleet_delivery_matches',
    { description: 'Receivers found for them.' },
    () => of.expander.counts.matches,
  );
  metrics.total(
    'pushfleet_delivery_attempts_dropped',
    { description: 'Attempts that could not be kept for the owners of their subscriptions.' },
    () => of.books.dropped,
  );
  metrics.total(
    'pushfleet_delivery_selection_failures',
    { description: 'Conditions of subscriptions that failed at a publication, which is not delivered then.' },
    () => of.selections.failures,
  );
}
