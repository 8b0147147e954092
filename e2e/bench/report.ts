import { bars } from './bars.ts';
import {
  type Columns,
  kilobytes,
  lines,
  none,
  percent,
  ratio,
  shown,
  tenths,
  thousands,
  times,
} from './columns.ts';
import { mqttBody } from './mqtt-report.ts';
import { mqttSessionsBody } from './mqtt-sessions-report.ts';
import {
  over,
  type PublishRow,
  perFrontSecond,
  perPathSecond,
  perSecond,
  publishedPerPathSecond,
  type Row,
  type StalledRow,
  type Table,
} from './results.ts';
import type { FlowResult } from './scenarios/flow.ts';
import type { IdleResult } from './scenarios/idle.ts';
import type { PublishResult } from './scenarios/publish.ts';
import type { StormResult } from './scenarios/storm.ts';
import { webhookBody } from './webhook-report.ts';

const flowColumns: Columns<Row<FlowResult>> = {
  head: [
    'server',
    'deliveries / CPU-s',
    'with what stands behind',
    'ratio to nchan',
    'deliveries / s',
    'events / read',
    'p50 ms',
    'p99 ms',
    'clients’ CPU',
  ],
  cells: (row, peer) => [
    row.target,
    shown(over(row, perFrontSecond), thousands),
    row.target === 'pushfleet' ? shown(over(row, perPathSecond), thousands) : none,
    ratio(row, peer, perFrontSecond),
    thousands(over(row, (flow) => flow.deliveries / flow.seconds).median),
    tenths(over(row, (flow) => flow.perRead).median),
    tenths(over(row, (flow) => flow.p50).median),
    tenths(over(row, (flow) => flow.p99).median),
    percent(over(row, (flow) => flow.clientCpu).median),
  ],
};

const latencyColumns: Columns<Row<FlowResult>> = {
  head: ['server', 'p50 ms', 'p99 ms', 'p99, ratio to nchan', 'deliveries / s', 'clients’ CPU'],
  cells: (row, peer) => [
    row.target,
    shown(
      over(row, (flow) => flow.p50),
      tenths,
    ),
    shown(
      over(row, (flow) => flow.p99),
      tenths,
    ),
    ratio(row, peer, (flow) => flow.p99),
    thousands(over(row, (flow) => flow.deliveries / flow.seconds).median),
    percent(over(row, (flow) => flow.clientCpu).median),
  ],
};

const idleColumns: Columns<Row<IdleResult>> = {
  head: ['server', 'resident memory / connection', 'whole process'],
  cells: (row) => [
    row.target,
    shown(
      over(row, (idle) => idle.perConnection),
      kilobytes,
    ),
    `${Math.round(over(row, (idle) => idle.totalBytes).median / 1e6)} MB`,
  ],
};

const stalledColumns: Columns<StalledRow> = {
  head: ['server', 'clients', 'p50 ms of those that read', 'p99 ms', 'p99, ratio of the medians'],
  cells: (row, calm) => [
    row.target,
    row.stalls ? 'some stop' : 'all read',
    shown(
      over(row, (result) => result.p50),
      tenths,
    ),
    shown(
      over(row, (result) => result.p99),
      tenths,
    ),
    calm === undefined ? none : times(over(row, ofP99).median / over(calm, ofP99).median),
  ],
};

const ofP99 = (result: { readonly p99: number }) => result.p99;

const microseconds = (of: (result: PublishResult) => number) => (result: PublishResult) =>
  (of(result) / result.acknowledged) * 1e6;

const publishColumns: Columns<PublishRow> = {
  head: [
    'server',
    'way',
    'publishers',
    'acknowledged / s',
    'CPU µs each',
    'with what stands behind',
    'a CPU-second, ratio to nchan',
    'publishers’ CPU',
  ],
  cells: (row, peer) => [
    row.target,
    row.way,
    String(row.publishers),
    shown(over(row, perSecond), thousands),
    shown(
      over(
        row,
        microseconds((result) => result.frontCpu),
      ),
      tenths,
    ),
    row.target === 'pushfleet'
      ? shown(
          over(
            row,
            microseconds((result) => result.pathCpu),
          ),
          tenths,
        )
      : none,
    ratio(row, peer, publishedPerPathSecond),
    percent(over(row, (result) => result.generatorCpu / result.seconds / row.publishers).median),
  ],
};

const stormColumns: Columns<Row<StormResult>> = {
  head: [
    'server',
    'all caught up, s',
    'events given',
    'publications',
    'messages from the broker',
    'CPU s',
    'with what stands behind',
    'clients’ CPU',
  ],
  cells: (row) => [
    row.target,
    shown(
      over(row, (storm) => storm.seconds),
      times,
    ),
    thousands(over(row, (storm) => storm.missed).median),
    thousands(over(row, (storm) => storm.publications).median),
    row.results.some((storm) => storm.brokerMessages === undefined)
      ? none
      : shown(
          over(row, (storm) => storm.brokerMessages ?? 0),
          thousands,
        ),
    shown(
      over(row, (storm) => storm.frontCpu),
      times,
    ),
    row.target === 'pushfleet'
      ? shown(
          over(row, (storm) => storm.pathCpu),
          times,
        )
      : none,
    percent(over(row, (storm) => storm.clientCpu).median),
  ],
};

/** One scenario as a Markdown table that is readable on a terminal too. */
export function table(measured: Table): string {
  return `**${measured.scenario.title}**\n\n${body(measured)}`;
}

function body(measured: Table): string {
  if (measured.kind === 'flow') {
    return lines(measured.scenario.name === 'latency' ? latencyColumns : flowColumns, measured.rows);
  }
  if (measured.kind === 'idle') return lines(idleColumns, measured.rows);
  if (measured.kind === 'stalled') {
    return lines(
      stalledColumns,
      measured.rows,
      (row, of) => of.stalls && !row.stalls && row.target === of.target,
    );
  }
  if (measured.kind === 'storm') return lines(stormColumns, measured.rows);
  if (measured.kind === 'mqttFlow' || measured.kind === 'mqttConnect' || measured.kind === 'mqttIdle') {
    return mqttBody(measured);
  }
  if (measured.kind === 'mqttRest' || measured.kind === 'mqttResume' || measured.kind === 'mqttLasting') {
    return mqttSessionsBody(measured);
  }
  if (measured.kind !== 'publish') return webhookBody(measured);
  return lines(
    publishColumns,
    measured.rows,
    (row, of) => row.target === 'nchan' && row.publishers === of.publishers,
  );
}

/** Everything, as it stands in docs/performance.md. */
export function markdown(tables: readonly Table[], facts: readonly string[]): string {
  const verdicts = bars(tables).map((line) => `- ${line}`);
  return [facts.map((fact) => `- ${fact}`).join('\n'), ...tables.map(table), verdicts.join('\n')].join(
    '\n\n',
  );
}
