import { bars } from './bars.ts';
import {
  perFrontSecond,
  perPathSecond,
  type Row,
  ratios,
  type Spread,
  spread,
  type Table,
} from './results.ts';

const thousands = (value: number) =>
  value >= 100_000 ? `${Math.round(value / 1000)}k` : `${(value / 1000).toFixed(1)}k`;
const times = (value: number) => value.toFixed(2);
const kilobytes = (value: number) => `${(value / 1000).toFixed(1)} KB`;

function shown({ median, min, max }: Spread, format: (value: number) => string): string {
  return min === max ? format(median) : `${format(median)} (${format(min)}–${format(max)})`;
}

const flowHead = [
  'server',
  'deliveries / CPU-s',
  'with what stands behind',
  'ratio to nchan',
  'deliveries / s',
  'events / read',
  'p50 ms',
  'p99 ms',
];

function flowCells(row: Row, peer: Row | undefined): string[] {
  const over = (of: (flow: Row['flows'][number]) => number) => spread(row.flows.map(of));
  return [
    row.target,
    shown(over(perFrontSecond), thousands),
    row.target === 'pushfleet' ? shown(over(perPathSecond), thousands) : '–',
    peer === undefined || peer === row ? '–' : shown(spread(ratios(row, peer)), times),
    thousands(over((flow) => flow.deliveries / flow.seconds).median),
    over((flow) => flow.perRead).median.toFixed(1),
    over((flow) => flow.p50).median.toFixed(1),
    over((flow) => flow.p99).median.toFixed(1),
  ];
}

function idleCells(row: Row): string[] {
  return [
    row.target,
    shown(spread(row.idles.map((idle) => idle.perConnection)), kilobytes),
    `${Math.round(spread(row.idles.map((idle) => idle.totalBytes)).median / 1e6)} MB`,
  ];
}

/** One scenario as a Markdown table that is readable on a terminal too. */
export function table({ scenario, rows }: Table): string {
  const peer = rows.find((row) => row.target === 'nchan');
  const lines =
    scenario.kind === 'idle'
      ? [['server', 'resident memory / connection', 'whole process'], ...rows.map(idleCells)]
      : [flowHead, ...rows.map((row) => flowCells(row, peer))];
  return `**${scenario.title}**\n\n${align(lines)}`;
}

function align(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  const rule = widths.map((width) => '-'.repeat(width));
  return [lines[0] ?? [], rule, ...lines.slice(1)]
    .map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`)
    .join('\n');
}

/** Everything, as it stands in docs/performance.md. */
export function markdown(tables: readonly Table[], facts: readonly string[]): string {
  const verdicts = bars(tables).map((line) => `- ${line}`);
  return [facts.map((fact) => `- ${fact}`).join('\n'), ...tables.map(table), verdicts.join('\n')].join(
    '\n\n',
  );
}
