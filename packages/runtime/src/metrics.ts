import type { IncomingMessage, ServerResponse } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Attributes, Counter, ObservableResult } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { type Histogram, type HistogramOptions, Histograms } from './histogram.ts';

export interface MetricOptions {
  /** One sentence for whoever reads the scrape. */
  readonly description: string;
}

/** One reading of an observed metric: a number, or one per set of attributes. */
export type Reading = number | Iterable<readonly [number, Attributes]>;

/**
 * A service's metrics. Names are `pushfleet_…` in snake case and end in their unit (`_seconds`, `_bytes`); the
 * exporter adds `_total` to counters. On a hot path keep a plain number and hand it over with `total` or `gauge`,
 * which are read only when scraped. Attributes have few values: never a topic, a subject or an address.
 */
export interface Metrics {
  counter(name: string, options: MetricOptions): Counter;
  /** One series of a histogram; every series of a name has the buckets of its first. */
  histogram(name: string, options: HistogramOptions, attributes?: Attributes): Histogram;
  /** A value that goes up and down, read at each scrape. */
  gauge(name: string, options: MetricOptions, read: () => Reading): void;
  /** A value that only goes up, read at each scrape. */
  total(name: string, options: MetricOptions, read: () => Reading): void;
  /** Answers a scrape in the Prometheus text format. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
}

const observe = (read: () => Reading) => (result: ObservableResult) => {
  const reading = read();
  if (typeof reading === 'number') result.observe(reading);
  else for (const [value, attributes] of reading) result.observe(value, attributes);
};

/** Metrics of this process: CPU seconds, resident memory, start time and event-loop delay are declared already. */
export function createMetrics(): Metrics {
  const histograms = new Histograms();
  const exporter = new PrometheusExporter({
    preventServerStart: true,
    metricProducers: [histograms],
    withoutScopeInfo: true,
    withoutTargetInfo: true,
  });
  const provider = new MeterProvider({ readers: [exporter] });
  const meter = provider.getMeter('pushfleet');
  const metrics: Metrics = {
    counter: (name, options) => meter.createCounter(name, options),
    histogram: (name, options, attributes = {}) => histograms.add(name, options, attributes),
    gauge: (name, options, read) => meter.createObservableGauge(name, options).addCallback(observe(read)),
    total: (name, options, read) => meter.createObservableCounter(name, options).addCallback(observe(read)),
    handle: (request, response) => exporter.getMetricsRequestHandler(request, response),
    close: () => provider.shutdown(),
  };
  declareProcessMetrics(metrics);
  return metrics;
}

// The histogram holds the time between two samples, their distance included.
const resolutionMs = 10;
const lateSeconds = (nanos: number): number =>
  Number.isFinite(nanos) ? Math.max(0, nanos / 1e9 - resolutionMs / 1e3) : 0;

function declareProcessMetrics(metrics: Metrics): void {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  metrics.total('process_cpu_seconds', { description: 'User and system CPU time spent, in seconds.' }, () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  metrics.gauge('process_resident_memory_bytes', { description: 'Resident memory, in bytes.' }, () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge('process_start_time_seconds', { description: 'Start of the process, in Unix seconds.' }, () =>
    Math.round(performance.timeOrigin / 1_000),
  );
  metrics.gauge(
    'pushfleet_event_loop_delay_seconds',
    { description: 'How late the event loop was since the last scrape, in seconds.' },
    () => {
      const readings: [number, Attributes][] = [
        [lateSeconds(delay.mean), { quantile: 'mean' }],
        [lateSeconds(delay.percentile(50)), { quantile: '0.5' }],
        [lateSeconds(delay.percentile(99)), { quantile: '0.99' }],
        [lateSeconds(delay.max), { quantile: 'max' }],
      ];
      delay.reset();
      return readings;
    },
  );
}
