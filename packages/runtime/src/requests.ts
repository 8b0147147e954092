import { meanings, PushfleetError } from '@pushfleet/core';
import { waitBuckets } from './histogram.ts';
import type { Metrics } from './metrics.ts';

/** How requests of one API end and how long they take: `pushfleet_requests_seconds{api,outcome}`. */
export interface Requests {
  /** @param since when it began, by `performance.now()`; @param thrown what it was refused with, or failed of */
  ended(since: number, thrown?: unknown): void;
}

/** @param api a word for the way in, such as `sse` or `grpc-batch` */
export function declareRequests(metrics: Pick<Metrics, 'histogram'>, api: string): Requests {
  const series = (outcome: string) =>
    metrics.histogram(
      'pushfleet_requests_seconds',
      {
        description: 'Time from a request to its answer, in seconds, by API and outcome.',
        buckets: waitBuckets,
      },
      { api, outcome },
    );
  const outcomes = { ok: series('ok'), refused: series('refused'), failed: series('failed') };
  return {
    ended: (since, thrown) => outcomes[outcomeOf(thrown)].record((performance.now() - since) / 1_000),
  };
}

/** A caller's fault is no failure of the service. */
function outcomeOf(thrown: unknown): 'ok' | 'refused' | 'failed' {
  if (thrown === undefined) return 'ok';
  return meanings[PushfleetError.from(thrown).code].http >= 500 ? 'failed' : 'refused';
}
