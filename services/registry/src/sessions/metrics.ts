import { SessionCommitOutcome } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Metrics } from '@pushfleet/runtime';
import type { SessionRegister } from './register.ts';

/** Declares what sessions count at this instance. */
export function declareSessions(metrics: Metrics, sessions: SessionRegister): void {
  const { acquiring, ending, sweeper, wills, groups, filling } = sessions;
  metrics.total(
    'pushfleet_session_acquires',
    {
      description:
        'Sessions that got an owner here, by outcome; `taken` are those of another connection, which count as created or resumed, too.',
    },
    () => Object.entries(acquiring.counts).map(([outcome, count]) => [count, { outcome }] as const),
  );
  metrics.total(
    'pushfleet_session_ends',
    {
      description:
        'Connections of sessions that ended here: released by their owner, or orphaned by its death or a take-over; and sessions that ended.',
    },
    () => Object.entries(ending.counts).map(([outcome, count]) => [count, { outcome }] as const),
  );
  metrics.total('pushfleet_session_commits', { description: 'Commits of hot state, by outcome.' }, () =>
    Array.from(sessions.commits, ([outcome, count]) => [count, { outcome: nameOf(outcome) }] as const),
  );
  metrics.total('pushfleet_session_wills', { description: 'Wills that were due here, by outcome.' }, () =>
    Object.entries(wills.counts).map(([outcome, count]) => [count, { outcome }] as const),
  );
  metrics.total(
    'pushfleet_session_groups',
    { description: 'Groups of shared subscriptions that were opened and closed here.' },
    () => Object.entries(groups.counts).map(([what, count]) => [count, { what }] as const),
  );
  metrics.total(
    'pushfleet_session_index_fills',
    { description: 'How often this instance made the index of sessions from the log.' },
    () => filling.counts.filled,
  );
  metrics.gauge(
    'pushfleet_session_due',
    {
      description:
        'Sessions of which something was due when this instance looked last; 0 where another looks.',
    },
    () => sweeper.due,
  );
}

/** `stored` for SESSION_COMMIT_OUTCOME_STORED. */
function nameOf(outcome: SessionCommitOutcome): string {
  const name = Object.entries(SessionCommitOutcome).find(([, value]) => value === outcome)?.[0] ?? 'unknown';
  return name.replace('SESSION_COMMIT_OUTCOME_', '').toLowerCase();
}
