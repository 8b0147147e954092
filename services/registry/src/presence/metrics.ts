import type { Metrics } from '@pushfleet/runtime';
import type { PresenceRegister } from './register.ts';

/** Declares what presence counts at this instance. */
export function declarePresence(metrics: Metrics, presence: PresenceRegister): void {
  const { announcer, caretaker, holding, watching } = presence;
  metrics.total(
    'pushfleet_presence_entries',
    { description: 'Members put and left here; a heartbeat is a put, too.' },
    () => [
      [presence.counts.put, { outcome: 'put' }],
      [presence.counts.refused, { outcome: 'refused' }],
      [presence.counts.left, { outcome: 'left' }],
      [caretaker.counts.expired, { outcome: 'expired' }],
    ],
  );
  metrics.total(
    'pushfleet_presence_changes',
    { description: 'Changes of members that were published here, by outcome.' },
    () => Object.entries(announcer.counts).map(([outcome, count]) => [count, { outcome }] as const),
  );
  metrics.gauge(
    'pushfleet_presence_waiting',
    { description: 'Changes of members that wait to be published, over all instances.' },
    () => caretaker.sizes.waiting,
  );
  metrics.gauge(
    'pushfleet_presence_leases',
    { description: 'Leases of all instances of edges that are known to this one.' },
    () => caretaker.sizes.leases,
  );
  metrics.gauge(
    'pushfleet_presence_leases_held',
    { description: 'Instances of edges that hold their lease here.' },
    () => holding.size,
  );
  metrics.total(
    'pushfleet_presence_lapses',
    { description: 'Leases that lapsed, and namespaces whose members Redis lost, as this instance found.' },
    () => [
      [caretaker.counts.lapsed, { what: 'lease' }],
      [caretaker.counts.lost, { what: 'namespace' }],
    ],
  );
  metrics.gauge(
    'pushfleet_presence_watchers',
    { description: 'Services that watch presence here.' },
    () => watching.size,
  );
}
