import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg, release } from 'node:os';

/** Which machine this is, in a line for the report. */
export function machine(): string {
  const model =
    /model name\s*:\s*(.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown processor';
  return `${model}, ${availableParallelism()} cores, Linux ${release()}`;
}

/** How busy the machine is besides the benchmark: the load average of the last minute. */
export function load(): string {
  return loadavg()[0]?.toFixed(1) ?? '?';
}
