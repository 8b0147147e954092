import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Attributes, Counter, Histogram } from '@opentelemetry/api';

export interface MetricOptions {
  readonly description: string;
  /** UCUM unit: `s`, `By`, `1`. */
  readonly unit?: string;
}

/** One reading of an observed metric: a number, or one per set of attributes. */
export type Reading = number | Iterable<readonly [number, Attributes]>;

/**
 * A service's metrics. Names are `pushfleet_…` in snake case; the exporter adds `_total` to counters. On a hot
 * path keep a plain number and hand it over with `total` or `gauge`, which are read only when scraped.
 */
export interface Metrics {
  counter(name: string, options: MetricOptions): Counter;
  histogram(name: string, options: MetricOptions & { readonly buckets: readonly number[] }): Histogram;
  /** A value that goes up and down, read at each scrape. */
  gauge(name: string, options: MetricOptions, read: () => Reading): void;
  /** A value that only goes up, read at each scrape. */
  total(name: string, options: MetricOptions, read: () => Reading): void;
  /** Answers a scrape in the Prometheus text format. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
}

/** Metrics of this process: CPU seconds, resident memory and event-loop delay are declared already. */
export function createMetrics(_service: string): Metrics {
  throw new Error('not yet');
}
