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
import type { MqttFlowResult } from './mqtt/flow.ts';
import type { MqttConnectResult, MqttIdleResult } from './mqtt/visits.ts';
import {
  type MqttTable,
  over,
  type Row,
  ratios,
  spread,
  usPerDelivery,
  usPerPathDelivery,
  usPerVisit,
} from './results.ts';

const flowColumns: Columns<Row<MqttFlowResult>> = {
  head: [
    'broker',
    'its CPU µs / delivery',
    'ratio to mosquitto',
    'with what stands behind',
    'ratio to mosquitto',
    'deliveries / s',
    'packets / read',
    'p50 ms',
    'p99 ms',
    'clients’ CPU',
  ],
  cells: (row, peer) => [
    row.target,
    shown(over(row, usPerDelivery), tenths),
    ratio(row, peer, usPerDelivery),
    ...(row.target === 'pushfleet'
      ? [shown(over(row, usPerPathDelivery), tenths), pathRatio(row, peer)]
      : [none, none]),
    thousands(over(row, (flow) => flow.deliveries / flow.seconds).median),
    tenths(over(row, (flow) => flow.perRead).median),
    tenths(over(row, (flow) => flow.p50).median),
    tenths(over(row, (flow) => flow.p99).median),
    percent(over(row, (flow) => flow.clientCpu).median),
  ],
};

const pathRatio = (row: Row<MqttFlowResult>, peer: Row<MqttFlowResult> | undefined): string =>
  peer === undefined ? none : shown(spread(ratios(row, peer, usPerPathDelivery)), times);

const connectColumns: Columns<Row<MqttConnectResult>> = {
  head: ['broker', 'its CPU µs / connection', 'ratio to mosquitto', 'connections / s', 'clients’ CPU'],
  cells: (row, peer) => [
    row.target,
    shown(over(row, usPerVisit), tenths),
    ratio(row, peer, usPerVisit),
    shown(
      over(row, (result) => result.visits / result.seconds),
      thousands,
    ),
    percent(over(row, (result) => result.clientCpu).median),
  ],
};

const idleColumns: Columns<Row<MqttIdleResult>> = {
  head: ['broker', 'resident memory / connection', 'whole process'],
  cells: (row) => [
    row.target,
    shown(
      over(row, (idle) => idle.perConnection),
      kilobytes,
    ),
    `${Math.round(over(row, (idle) => idle.totalBytes).median / 1e6)} MB`,
  ],
};

const isPeer = (row: { readonly target: string }): boolean => row.target === 'mosquitto';

/** The table of a scenario of MQTT. */
export function mqttBody(measured: MqttTable): string {
  if (measured.kind === 'mqttFlow') return lines(flowColumns, measured.rows, isPeer);
  if (measured.kind === 'mqttConnect') return lines(connectColumns, measured.rows, isPeer);
  return lines(idleColumns, measured.rows);
}
