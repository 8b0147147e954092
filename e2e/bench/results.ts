import type { Scenario } from './plan.ts';
import type { FlowResult } from './scenarios/flow.ts';
import type { IdleResult } from './scenarios/idle.ts';

/** What one target gave in one scenario, repetition by repetition. */
export interface Row {
  readonly target: string;
  readonly flows: FlowResult[];
  readonly idles: IdleResult[];
}

export interface Table {
  readonly scenario: Scenario;
  readonly rows: readonly Row[];
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    min: at(0),
    max: at(sorted.length - 1),
  };
}

export const perFrontSecond = (result: FlowResult) => result.deliveries / result.frontCpu;
export const perPathSecond = (result: FlowResult) => result.deliveries / result.pathCpu;

/** Repetition by repetition, how many times the other's deliveries a CPU-second of the front gives. */
export function ratios(row: Row, other: Row): number[] {
  const pairs = Math.min(row.flows.length, other.flows.length);
  return Array.from(
    { length: pairs },
    (_, i) => perFrontSecond(row.flows[i] as FlowResult) / perFrontSecond(other.flows[i] as FlowResult),
  );
}
