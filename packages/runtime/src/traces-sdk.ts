// Loaded only where traces are configured: the SDK costs memory and time at the start.
import { context, SamplingDecision, type Tracer, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as HttpExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { envDetector } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace';
import type { Log } from './log.ts';
import { version } from './version.ts';

export interface ExportOptions {
  readonly url: string;
  readonly protocol: 'http/protobuf' | 'grpc';
  /** Most spans that wait or are on their way. */
  readonly queue: number;
  readonly service: string;
  readonly instance: string;
  readonly log: Log;
}

/** Counted up by what became of each span. */
export interface SpanCounts {
  exported: number;
  failed: number;
  dropped: number;
}

export interface Exporting {
  readonly tracer: Tracer;
  close(): Promise<void>;
}

const everyMs = 1_000;
const batch = 512;
const closeMs = 3_000;
/** A topic fits; whatever else a client made longer is cut. */
const attributeChars = 1_024;

/** Starts the SDK for spans alone: metrics and logs have ways of their own. */
export function startExporting(options: ExportOptions, counts: SpanCounts): Exporting {
  const { service, instance } = options;
  const sdk = new NodeSDK({
    serviceName: `pushfleet-${service}`,
    // What an operator says in OTEL_RESOURCE_ATTRIBUTES comes later and wins.
    resourceDetectors: [
      {
        detect: () => ({
          attributes: { 'service.instance.id': instance, 'service.version': version },
        }),
      },
      envDetector,
    ],
    // Whether a request is traced is decided before its first span is made.
    sampler: { shouldSample: () => ({ decision: SamplingDecision.RECORD_AND_SAMPLED }) },
    spanLimits: { attributeValueLengthLimit: attributeChars },
    spanProcessors: [new BoundedProcessor(options, counts)],
    textMapPropagator: null,
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  return { tracer: trace.getTracer('pushfleet', version), close: () => close(sdk, options.log) };
}

async function close(sdk: NodeSDK, log: Log): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, closeMs);
  const closed = sdk
    .shutdown()
    .catch((error: unknown) => log.warn({ err: error }, 'the last spans could not be sent'));
  await Promise.race([closed, late]);
  clearTimeout(timer);
  trace.disable();
  context.disable();
}

/** Batches for the collector, and drops what it is too slow for: a span never waits, and nothing waits for one. */
class BoundedProcessor implements SpanProcessor {
  readonly #queue: number;
  readonly #counts: SpanCounts;
  readonly #batches: BatchSpanProcessor;
  #held = 0;

  constructor(options: ExportOptions, counts: SpanCounts) {
    const { queue, log } = options;
    this.#queue = queue;
    this.#counts = counts;
    const exporter = new WatchedExporter(exporterFor(options), log, (spans, outcome) => {
      this.#held -= spans;
      counts[outcome] += spans;
    });
    this.#batches = new BatchSpanProcessor({
      exporter,
      maxQueueSize: queue,
      maxExportBatchSize: Math.min(batch, queue),
      scheduledDelayMillis: everyMs,
    });
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#held >= this.#queue) {
      this.#counts.dropped++;
      return;
    }
    this.#held++;
    this.#batches.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown();
  }
}

function exporterFor({ url, protocol }: ExportOptions): SpanExporter {
  if (protocol === 'grpc') return new GrpcExporter({ url });
  const { pathname } = new URL(url);
  return new HttpExporter({ url: pathname === '/' ? new URL('/v1/traces', url).href : url });
}

type Export = SpanExporter['export'];

/** Counts what is sent, and logs the first of several failures. */
class WatchedExporter implements SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #log: Log;
  readonly #settled: (spans: number, outcome: 'exported' | 'failed') => void;
  #failing = false;

  constructor(
    exporter: SpanExporter,
    log: Log,
    settled: (spans: number, outcome: 'exported' | 'failed') => void,
  ) {
    this.#exporter = exporter;
    this.#log = log;
    this.#settled = settled;
  }

  export(...[spans, done]: Parameters<Export>): void {
    this.#exporter.export(spans, (result) => {
      const failed = result.error !== undefined || result.code !== success;
      this.#settled(spans.length, failed ? 'failed' : 'exported');
      this.#note(failed, result.error);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }

  #note(failed: boolean, error: Error | undefined): void {
    if (failed && !this.#failing) {
      this.#log.warn({ reason: error?.message }, 'the collector does not take spans; they are dropped');
    }
    this.#failing = failed;
  }
}

/** `ExportResultCode.SUCCESS` of @opentelemetry/core. */
const success = 0;
