import { type Attributes, type HrTime, ValueType } from '@opentelemetry/api';
import { emptyResource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type HistogramMetricData,
  type MetricProducer,
  type Histogram as Reading,
} from '@opentelemetry/sdk-metrics';

/** Counts values by size. Recording one costs a few comparisons, so it stands on hot paths. */
export interface Histogram {
  record(value: number): void;
}

export interface HistogramOptions {
  /** One sentence for whoever reads the scrape. */
  readonly description: string;
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[];
}

/** Upper bounds in seconds for what a client waits for. */
export const waitBuckets: readonly number[] = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30,
];

class Buckets implements Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  record(value: number): void {
    let at = 0;
    while (at < this.#bounds.length && value > (this.#bounds[at] as number)) at++;
    (this.#counts[at] as number)++;
    this.#sum += value;
    this.#count++;
  }

  read(): Reading {
    return {
      buckets: { boundaries: [...this.#bounds], counts: [...this.#counts] },
      sum: this.#sum,
      count: this.#count,
    };
  }
}

interface Series {
  readonly attributes: Attributes;
  readonly buckets: Buckets;
}

interface Family {
  readonly options: HistogramOptions;
  readonly series: Series[];
}

/**
 * The histograms of a service as a source of metrics of its own. The SDK's histogram looks its attributes up at
 * every value, by a text made of them: too much where there is one value for each publication.
 */
export class Histograms implements MetricProducer {
  readonly #families = new Map<string, Family>();
  readonly #start: HrTime = now();

  add(name: string, options: HistogramOptions, attributes: Attributes): Histogram {
    const family = this.#families.get(name) ?? { options, series: [] };
    this.#families.set(name, family);
    const buckets = new Buckets(family.options.buckets);
    family.series.push({ attributes, buckets });
    return buckets;
  }

  async collect(): ReturnType<MetricProducer['collect']> {
    const metrics = Array.from(this.#families, ([name, family]) => this.#read(name, family));
    const scopeMetrics = [{ scope: { name: 'pushfleet' }, metrics }];
    return { resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] };
  }

  #read(name: string, { options: { description }, series }: Family): HistogramMetricData {
    const startTime = this.#start;
    const endTime = now();
    const dataPoints = series.map(
      ({ attributes, buckets }): DataPoint<Reading> => ({
        startTime,
        endTime,
        attributes,
        value: buckets.read(),
      }),
    );
    return {
      dataPointType: DataPointType.HISTOGRAM,
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      descriptor: { name, description, unit: '', valueType: ValueType.DOUBLE },
      dataPoints,
    };
  }
}

function now(): HrTime {
  const ms = Date.now();
  return [Math.floor(ms / 1_000), (ms % 1_000) * 1e6];
}
