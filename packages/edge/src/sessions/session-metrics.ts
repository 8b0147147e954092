import { type Histogram, type Metrics, waitBuckets } from '@pushfleet/runtime';

/** What became of commits. */
export class CommitMetrics {
  stored = 0;
  lost = 0;
  fenced = 0;
  lapsed = 0;
  tooLarge = 0;
  unavailable = 0;
  readonly #sizes: Histogram | undefined;
  readonly #seconds: Histogram | undefined;

  constructor(metrics: Pick<Metrics, 'total' | 'histogram'> | undefined) {
    metrics?.total(
      'pushfleet_session_commits',
      { description: 'Commits of the state of sessions, one for each session of a call, by outcome.' },
      () => [
        [this.stored, { outcome: 'stored' }],
        [this.lost, { outcome: 'lost' }],
        [this.fenced, { outcome: 'fenced' }],
        [this.lapsed, { outcome: 'lapsed' }],
        [this.tooLarge, { outcome: 'too_large' }],
        [this.unavailable, { outcome: 'unavailable' }],
      ],
    );
    this.#sizes = metrics?.histogram('pushfleet_session_commit_sessions', {
      description: 'Sessions whose state one call to the registry commits.',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
    });
    this.#seconds = metrics?.histogram('pushfleet_session_commit_seconds', {
      description: 'How long a call takes that commits the state of sessions, in seconds.',
      buckets: waitBuckets,
    });
  }

  call(sessions: number, ms: number): void {
    this.#sizes?.record(sessions);
    this.#seconds?.record(ms / 1_000);
  }
}
