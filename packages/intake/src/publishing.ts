import { PushfleetError, type Stored } from '@pushfleet/core';
import {
  declareRequests,
  type Grant,
  type Metrics,
  type Requests,
  type TraceHeaders,
  type TraceSpan,
  type Traces,
} from '@pushfleet/runtime';
import { Budget } from './budget.ts';
import type { Intake, Submission } from './intake.ts';

export interface PublishingOptions {
  /** The protocol, as metrics and spans name it: `websocket`. */
  readonly api: string;
  readonly intake: Pick<Intake, 'publish'>;
  /** Most bytes of publications that are not answered yet, over all clients. */
  readonly pendingBytes: number;
  readonly traces: Pick<Traces, 'request'>;
  readonly metrics: Pick<Metrics, 'histogram' | 'gauge'>;
}

/** What a client publishes, and the trace that it says this belongs to. */
export interface Publish {
  readonly submission: Submission;
  readonly trace: TraceHeaders;
}

/** What the clients of an edge publish, on its way into the log: bounded, measured and traced one by one. */
export class Publishing {
  readonly #o: PublishingOptions;
  readonly #budget: Budget;
  readonly #requests: Requests;

  constructor(options: PublishingOptions) {
    const { api, metrics, pendingBytes } = options;
    this.#o = options;
    this.#budget = new Budget(pendingBytes);
    this.#requests = declareRequests(metrics, `${api}-publish`);
    metrics.gauge(
      'pushfleet_edge_pending_bytes',
      { description: 'Bytes of publications of clients that are not answered yet.' },
      () => this.#budget.held,
    );
  }

  /**
   * As `Intake.publish` does, and like it never rejects; all are refused as `unavailable` where too many bytes are
   * unanswered.
   */
  async publish(
    grant: Grant,
    publishes: readonly (Publish | PushfleetError)[],
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const since = performance.now();
    const answers = await this.#bounded(grant, publishes);
    for (const answer of answers) this.#requests.ended(since, errorOf(answer));
    return answers;
  }

  async #bounded(
    grant: Grant,
    publishes: readonly (Publish | PushfleetError)[],
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const bytes = publishes.reduce(
      (sum, one) => sum + ('submission' in one ? one.submission.payload.length : 0),
      0,
    );
    try {
      this.#budget.hold(bytes);
    } catch (thrown) {
      const refusal = PushfleetError.from(thrown);
      return publishes.map((one) => (one instanceof PushfleetError ? one : refusal));
    }
    try {
      return await this.#traced(grant, publishes);
    } finally {
      this.#budget.release(bytes);
    }
  }

  async #traced(
    grant: Grant,
    publishes: readonly (Publish | PushfleetError)[],
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const spans = publishes.map((one) => (one instanceof PushfleetError ? undefined : this.#span(one)));
    const submissions = publishes.map((one, i) =>
      one instanceof PushfleetError ? one : carrying(one.submission, spans[i]),
    );
    const answers = await this.#o.intake.publish(grant, submissions);
    for (const [i, span] of spans.entries()) span?.end(errorOf(answers[i]));
    return answers;
  }

  #span({ submission, trace }: Publish): TraceSpan | undefined {
    const { api, traces } = this.#o;
    return traces.request('publish', trace, {
      kind: 'server',
      attributes: {
        'messaging.system': 'pushfleet',
        'messaging.operation.name': 'publish',
        'messaging.operation.type': 'send',
        'messaging.destination.name': submission.topic,
        'messaging.message.body.size': submission.payload.length,
        'pushfleet.api': api,
      },
    });
  }
}

const carrying = (submission: Submission, span: TraceSpan | undefined): Submission =>
  span === undefined ? submission : { ...submission, trace: span.context };

const errorOf = (answer: Stored | PushfleetError | undefined): PushfleetError | undefined =>
  answer instanceof PushfleetError ? answer : undefined;
