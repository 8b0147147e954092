import { PushfleetError } from '@pushfleet/core';
import {
  type Histogram,
  type Metrics,
  RateLimit,
  type TraceSpan,
  type Traces,
  waitBuckets,
} from '@pushfleet/runtime';
import type { Outcome, Verdict } from '../attempt.ts';
import type { Errand } from '../courier.ts';
import type { Judgement } from './verdict.ts';

type Seconds = Readonly<Record<Verdict, Histogram>>;

const verdicts: readonly Verdict[] = ['delivered', 'failed', 'throttled', 'rejected', 'gone'];

export interface TrackingOptions {
  /** Of receiver: names the series, and the protocol of spans. */
  readonly kind: string;
  readonly metrics: Pick<Metrics, 'histogram'>;
  readonly traces: Pick<Traces, 'on' | 'resume'>;
}

/** Most attempts that are traced in a second: one publication that is traced may have a million receivers. */
const mostSpans = 100;

/** Measures every attempt, and traces those of publications that are traced. */
export class Tracking {
  readonly #kind: string;
  readonly #traces: TrackingOptions['traces'];
  readonly #rate = new RateLimit({ perSecond: mostSpans, burst: mostSpans, keys: 1 });
  readonly #seconds: Seconds;

  constructor({ kind, metrics, traces }: TrackingOptions) {
    this.#kind = kind;
    const series = (verdict: Verdict) =>
      metrics.histogram(
        `pushfleet_${kind}_attempt_seconds`,
        {
          description: 'Time that an attempt takes until it is judged, in seconds, by its verdict.',
          buckets: waitBuckets,
        },
        { verdict },
      );
    this.#traces = traces;
    this.#seconds = Object.fromEntries(verdicts.map((verdict) => [verdict, series(verdict)])) as Seconds;
  }

  begin(errand: Errand): Tracked {
    return new Tracked(this.#span(errand), this.#seconds);
  }

  #span({ publication, subscription, attempt, id }: Errand): TraceSpan | undefined {
    if (!this.#traces.on || publication?.trace === undefined || this.#rate.take('') > 0) return undefined;
    return this.#traces.resume('deliver', publication.trace, {
      kind: 'client',
      attributes: {
        'messaging.system': 'pushfleet',
        'messaging.operation.name': 'deliver',
        'messaging.operation.type': 'process',
        'messaging.destination.name': publication.topic,
        'messaging.message.id': publication.id,
        'http.request.method': methodOf(subscription),
        'pushfleet.protocol': this.#kind,
        'pushfleet.subscription': subscription.id,
        'pushfleet.delivery': id,
        'pushfleet.attempt': attempt,
      },
    });
  }
}

const methodOf = ({ target }: Errand['subscription']): string =>
  target?.$case === 'webhook' && target.webhook.notify !== undefined ? 'NOTIFY' : 'POST';

/** An attempt under way. */
export class Tracked {
  readonly span: TraceSpan | undefined;
  readonly #seconds: Seconds;
  readonly #since = performance.now();

  constructor(span: TraceSpan | undefined, seconds: Seconds) {
    this.span = span;
    this.#seconds = seconds;
  }

  end(judgement: Judgement): Outcome {
    const durationMs = performance.now() - this.#since;
    this.#seconds[judgement.verdict].record(durationMs / 1_000);
    if (this.span !== undefined) endSpan(this.span, judgement);
    return { ...judgement, durationMs: Math.round(durationMs) };
  }
}

function endSpan(span: TraceSpan, { verdict, status, error }: Judgement): void {
  span.set({
    'pushfleet.verdict': verdict,
    ...(status !== undefined && { 'http.response.status_code': status }),
  });
  span.end(verdict === 'delivered' ? undefined : new PushfleetError('unavailable', error ?? verdict));
}
