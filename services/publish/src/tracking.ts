import { PushfleetError, type Stored, type Succession } from '@pushfleet/core';
import type { Intake, Submission } from '@pushfleet/intake';
import {
  declareRequests,
  type Grant,
  isTraceparent,
  type Metrics,
  type Requests,
  type SpanOptions,
  type TraceHeaders,
  type TraceSpan,
  type Traces,
} from '@pushfleet/runtime';
import { BodyAborted } from './http/body.ts';

/** The ways in, as metrics and spans name them. */
const apis = [
  'http',
  'http-batch',
  'http-archive',
  'http-subscribe',
  'grpc',
  'grpc-batch',
  'grpc-stream',
  'grpc-archive',
  'grpc-subscribe',
] as const;

export type Api = (typeof apis)[number];

export interface TrackingOptions {
  readonly intake: Pick<Intake, 'publish'>;
  readonly metrics: Pick<Metrics, 'histogram'>;
  readonly traces: Traces;
}

/** Most drafts of one request that have a `store` span of their own and whose deliveries go on in the trace. */
const mostStores = 16;

/** Measures every request, and traces those that are to be traced. */
export class Tracking {
  readonly #options: TrackingOptions;
  readonly #requests: Readonly<Record<Api, Requests>>;

  constructor(options: TrackingOptions) {
    const of = (api: Api) => [api, declareRequests(options.metrics, api)] as const;
    this.#options = options;
    this.#requests = Object.fromEntries(apis.map(of)) as Record<Api, Requests>;
  }

  /** @param from where the request's trace comes from; without it the request is only measured */
  begin(api: Api, from?: TraceHeaders): Tracked {
    const { intake, traces } = this.#options;
    return new Tracked({ api, from, intake, traces, requests: this.#requests[api] });
  }

  /** Answers a request; what `handle` throws is its outcome. */
  async request<T>(
    api: Api,
    from: TraceHeaders | undefined,
    handle: (tracked: Tracked) => Promise<T>,
  ): Promise<T> {
    const tracked = this.begin(api, from);
    try {
      const answer = await handle(tracked);
      tracked.end();
      return answer;
    } catch (error) {
      tracked.end(error);
      throw error;
    }
  }
}

interface TrackedOptions {
  readonly api: Api;
  readonly from: TraceHeaders | undefined;
  readonly intake: Pick<Intake, 'publish'>;
  readonly traces: Traces;
  readonly requests: Requests;
}

/** One request, from its beginning to its answer. It stands in for the intake. */
export class Tracked implements Pick<Intake, 'publish'> {
  readonly #options: TrackedOptions;
  readonly #since = performance.now();
  readonly #span: TraceSpan | undefined;

  constructor(options: TrackedOptions) {
    const { api, from, traces } = options;
    this.#options = options;
    if (from === undefined || !traces.on) return;
    const attributes = {
      'messaging.system': 'pushfleet',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'pushfleet.api': api,
    };
    this.#span = traces.request('publish', from, { kind: 'server', attributes });
  }

  /** As the intake does, with what each draft carries of its trace. */
  async publish(
    grant: Grant,
    submissions: readonly (Submission | PushfleetError)[],
    succession?: Succession,
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const { intake, traces } = this.#options;
    if (!traces.on) return intake.publish(grant, submissions, succession);
    const [only] = submissions;
    if (submissions.length > 1) this.#span?.set({ 'messaging.batch.message_count': submissions.length });
    else if (isDraft(only)) this.#span?.set({ 'messaging.destination.name': only.topic });
    // A span for each of a thousand drafts would tell nobody anything.
    const shared = submissions.length > mostStores ? this.#span?.child('store', storing()) : undefined;
    const spans = submissions.map((submission, i) => this.#store(submission, i, shared));
    const answers = await intake.publish(
      grant,
      submissions.map((submission, i) => carrying(submission, spans[i])),
      succession,
    );
    for (const [i, span] of spans.entries()) if (span !== shared) end(span, answers[i]);
    shared?.end();
    return answers;
  }

  /** @param thrown what it was refused with, or failed of */
  end(thrown?: unknown): void {
    const reason = thrown instanceof BodyAborted ? clientLeft : thrown;
    this.#options.requests.ended(this.#since, reason);
    this.#span?.end(reason);
  }

  #store(
    submission: Submission | PushfleetError,
    index: number,
    shared: TraceSpan | undefined,
  ): TraceSpan | undefined {
    if (!isDraft(submission)) return undefined;
    const { traces, from } = this.#options;
    const { traceparent } = submission;
    const own = traceparent !== undefined && traceparent !== from?.traceparent && isTraceparent(traceparent);
    if (own) {
      return traces.request('store', { traceparent }, storing(submission));
    }
    if (shared !== undefined) return index < mostStores ? shared : undefined;
    return this.#span?.child('store', storing(submission));
  }
}

const clientLeft = new PushfleetError('request_invalid', 'The client left before the end of its request.');

const isDraft = (submission: Submission | PushfleetError | undefined): submission is Submission =>
  submission !== undefined && !(submission instanceof PushfleetError);

function storing(submission?: Submission): SpanOptions {
  const attributes = {
    'messaging.system': 'pushfleet',
    'messaging.operation.name': 'store',
    'messaging.operation.type': 'send',
    ...(submission !== undefined && {
      'messaging.destination.name': submission.topic,
      'messaging.message.body.size': submission.payload.length,
    }),
  };
  return { kind: 'producer', attributes };
}

function carrying(
  submission: Submission | PushfleetError,
  span: TraceSpan | undefined,
): Submission | PushfleetError {
  return span !== undefined && isDraft(submission) ? { ...submission, trace: span.context } : submission;
}

function end(span: TraceSpan | undefined, answer: Stored | PushfleetError | undefined): void {
  if (answer === undefined || answer instanceof PushfleetError) {
    span?.end(answer);
    return;
  }
  const { id, cursor, duplicate } = answer;
  span?.set({
    'messaging.message.id': id,
    'pushfleet.cursor': cursor,
    'pushfleet.duplicate': duplicate,
  });
  span?.end();
}
