import {
  type Attributes,
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { meanings, PushfleetError, type TraceContext } from '@pushfleet/core';
import type { Config } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Part } from './part.ts';
import { RateLimit } from './rate.ts';
import type { traceFields } from './shared-fields.ts';
import { headersOf, type RemoteParent, readTrace, type TraceHeaders } from './trace-context.ts';
import type { Exporting } from './traces-sdk.ts';

/** Spans of this process. Without PUSHFLEET_TRACES_URL there are none, and no code for them is loaded. */
export interface Traces extends Part {
  /** Whether anything may be traced at all. */
  readonly on: boolean;
  /** The span of what came from outside; undefined where it is not to be traced. */
  request(name: string, from: TraceHeaders, o?: SpanOptions): TraceSpan | undefined;
  /** A span in the trace of a stored publication: whoever took it in decided that it is traced. */
  resume(name: string, of: TraceContext, o?: SpanOptions): TraceSpan | undefined;
}

export interface SpanOptions {
  /** `internal` by default. */
  readonly kind?: 'server' | 'client' | 'producer' | 'consumer' | 'internal';
  /** Topics and ids may be here; payloads and whatever is secret never are. */
  readonly attributes?: Attributes;
}

/** Traces where nothing is traced. */
export const noTraces: Traces = {
  name: 'traces',
  on: false,
  request: () => undefined,
  resume: () => undefined,
  start: async () => {},
  drain: async () => {},
  close: async () => {},
};

/** What of a parent travels along, past all spans. */
type Passed = Pick<RemoteParent, 'baggage'>;

const kinds = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const;

/** A span under way. Parents are passed by hand, so that nothing has to follow asynchronous calls. */
export class TraceSpan {
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #passed: Passed;

  constructor(tracer: Tracer, name: string, parent: Context, passed: Passed, o: SpanOptions = {}) {
    const { kind = 'internal', attributes = {} } = o;
    this.#tracer = tracer;
    this.#span = tracer.startSpan(name, { kind: kinds[kind], attributes }, parent);
    this.#passed = passed;
  }

  /** What a publication carries whose deliveries are to be below this span. */
  get context(): TraceContext {
    const { traceId, spanId, traceState } = this.#span.spanContext();
    const state = traceState?.serialize() ?? '';
    const { baggage } = this.#passed;
    return {
      parent: `00-${traceId}-${spanId}-01`,
      ...(state !== '' && { state }),
      ...(baggage !== undefined && { baggage }),
    };
  }

  child(name: string, o?: SpanOptions): TraceSpan {
    return new TraceSpan(this.#tracer, name, trace.setSpan(ROOT_CONTEXT, this.#span), this.#passed, o);
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  /** @param thrown why it failed; a fault of the caller is noted, and no failure of the span */
  end(thrown?: unknown): void {
    if (thrown !== undefined) {
      const { code } = PushfleetError.from(thrown);
      this.#span.setAttribute('error.type', code);
      if (meanings[code].http >= 500) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}

export interface TracesOptions {
  /** As in `pushfleet-<service>`. */
  readonly service: string;
  /** The name of this instance, as the fleet knows it. */
  readonly instance: string;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'total'>;
}

/** The traces of a service as a part, to be started before those that make spans. */
export function createTraces(config: Config<typeof traceFields>, options: TracesOptions): Traces {
  return config.tracesUrl === undefined ? noTraces : new FleetTraces(config, config.tracesUrl, options);
}

class FleetTraces implements Traces {
  readonly name = 'traces';
  readonly on = true;
  readonly #config: Config<typeof traceFields>;
  readonly #url: string;
  readonly #options: TracesOptions;
  readonly #rate: RateLimit;
  readonly #requests = { traced: 0, rate_limited: 0 };
  readonly #spans = { exported: 0, failed: 0, dropped: 0 };
  #exporting: Exporting | undefined;

  constructor(config: Config<typeof traceFields>, url: string, options: TracesOptions) {
    const { tracesRate: perSecond } = config;
    this.#config = config;
    this.#url = url;
    this.#options = options;
    this.#rate = new RateLimit({ perSecond, burst: perSecond, keys: 1 });
    this.#declareMetrics(options.metrics);
  }

  request(name: string, from: TraceHeaders, o?: SpanOptions): TraceSpan | undefined {
    const parent = readTrace(from, this.#limits);
    if (this.#exporting === undefined || !this.#decide(parent)) return undefined;
    return this.#span(this.#exporting.tracer, name, parent, o);
  }

  resume(name: string, of: TraceContext, o?: SpanOptions): TraceSpan | undefined {
    const parent = readTrace(headersOf(of), this.#limits);
    if (this.#exporting === undefined || parent?.sampled !== true) return undefined;
    return this.#span(this.#exporting.tracer, name, parent, o);
  }

  async start(): Promise<void> {
    const { startExporting } = await import('./traces-sdk.ts');
    const { service, instance, log } = this.#options;
    const { tracesProtocol: protocol, tracesQueue: queue } = this.#config;
    this.#exporting = startExporting(
      { url: this.#url, protocol, queue, service, instance, log },
      this.#spans,
    );
  }

  /** The last spans are those of what drains beside it: they go out when it is closed. */
  async drain(): Promise<void> {}

  /** Sends what waits, for three seconds at most. */
  async close(): Promise<void> {
    const exporting = this.#exporting;
    this.#exporting = undefined;
    await exporting?.close();
  }

  get #limits(): { readonly bytes: number; readonly entries: number } {
    return { bytes: this.#config.baggageBytes, entries: this.#config.baggageEntries };
  }

  #span(tracer: Tracer, name: string, parent: RemoteParent | undefined, o?: SpanOptions): TraceSpan {
    return new TraceSpan(tracer, name, contextOf(parent), parent ?? {}, o);
  }

  #decide(parent: RemoteParent | undefined): boolean {
    const { tracesSample, tracesTrustPublishers } = this.#config;
    const decided = tracesTrustPublishers ? parent?.sampled : undefined;
    if (!(decided ?? Math.random() < tracesSample)) return false;
    const within = this.#rate.take('') === 0;
    this.#requests[within ? 'traced' : 'rate_limited']++;
    return within;
  }

  #declareMetrics(metrics: Pick<Metrics, 'total'>): void {
    metrics.total(
      'pushfleet_traces_requests',
      { description: 'Requests that were to be traced: they were, or there were too many.' },
      () => Object.entries(this.#requests).map(([outcome, count]) => [count, { outcome }] as const),
    );
    metrics.total('pushfleet_traces_spans', { description: 'Spans ended, by what became of them.' }, () =>
      Object.entries(this.#spans).map(([outcome, count]) => [count, { outcome }] as const),
    );
  }
}

function contextOf(parent: RemoteParent | undefined): Context {
  if (parent === undefined) return ROOT_CONTEXT;
  const { traceId, spanId, sampled, state } = parent;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(state !== undefined && { traceState: createTraceState(state) }),
  });
}
