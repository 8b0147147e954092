import { verdict } from './columns.ts';
import { mqttBars } from './mqtt-bars.ts';
import { mqttSessionsBars } from './mqtt-sessions-report.ts';
import type { ScenarioName } from './plan.ts';
import {
  over,
  type PublishRow,
  perFrontSecond,
  perSecond,
  type Row,
  ratios,
  type StalledRow,
  spread,
  type Table,
} from './results.ts';
import type { AppointmentsResult } from './scenarios/appointments.ts';
import type { FlowResult } from './scenarios/flow.ts';
import type { HangingResult } from './scenarios/hooks.ts';

/** Publications a second that one publisher has to get acknowledged, by the way it goes. */
const publishBars: Readonly<Record<string, number>> = {
  'gRPC PublishStream': 12_000,
  'gRPC PublishBatch of 200': 25_000,
  'bus.publish in process': 30_000,
};

/** What Pushfleet has to reach, and whether it did: one line each for what was measured. */
export const bars = (tables: readonly Table[]): string[] => tables.flatMap(barsOf);

function barsOf(table: Table): string[] {
  if (table.kind === 'flow') return flowBars(table);
  if (table.kind === 'idle') return idleBar(table);
  if (table.kind === 'stalled') return stalledBar(table);
  if (table.kind === 'publish') return table.rows.flatMap(publishBar);
  if (table.kind === 'hooks') return hooksBar(table);
  if (table.kind === 'hanging') return hangingBar(table);
  if (table.kind === 'appointments') return table.rows.flatMap((row) => appointmentsBar(table, row));
  if (table.kind === 'mqttFlow' || table.kind === 'mqttConnect' || table.kind === 'mqttIdle') {
    return mqttBars(table);
  }
  if (table.kind === 'mqttRest' || table.kind === 'mqttResume' || table.kind === 'mqttLasting') {
    return mqttSessionsBars(table);
  }
  // How fast and how small matching is: no bar was set.
  if (table.kind === 'matching') return [];
  const seconds = median(table.rows, (storm) => storm.seconds);
  return seconds === undefined ? [] : [below(6, seconds, `s: ${table.scenario.title}`)];
}

function idleBar({ scenario, rows }: Table & { kind: 'idle' }): string[] {
  const kilobytes = median(rows, (idle) => idle.perConnection / 1000);
  const most = { idle: 20, wsIdle: 12 }[scenario.name];
  return kilobytes === undefined ? [] : [below(most, kilobytes, `KB a connection: ${scenario.title}`)];
}

/** Of nchan's deliveries a CPU-second. */
const wantedOfPeer: Partial<Record<ScenarioName, number>> = {
  ...{ fanout: 1, saturated: 3 },
  ...{ wsFanout: 0.95, wsSaturated: 3 },
};

function flowBars({ scenario, rows }: Table & { kind: 'flow' }): string[] {
  const { name, rate, title } = scenario;
  if (name === 'latency') {
    const p99 = rate === 1000 ? median(rows, (flow) => flow.p99) : undefined;
    return p99 === undefined ? [] : [below(10, p99, `ms from publish to delivery for 99%: ${title}`)];
  }
  const fleet = find(rows, 'pushfleet');
  if (fleet === undefined) return [];
  const peer = find(rows, 'nchan');
  const wanted = wantedOfPeer[name];
  return [
    ...(peer === undefined || wanted === undefined ? [] : [ratioBar(title, wanted, fleet, peer)]),
    ...(name === 'wsSaturated' ? aheadOfAll(title, fleet, rows) : []),
  ];
}

function aheadOfAll(title: string, fleet: Row<FlowResult>, rows: readonly Row<FlowResult>[]): string[] {
  const others = rows
    .filter((row) => row !== fleet)
    .map((row) => ({ name: row.target, times: spread(ratios(fleet, row, perFrontSecond)).median }));
  const [closest] = others.toSorted((a, b) => a.times - b.times);
  if (closest === undefined) return [];
  const text = `${closest.times.toFixed(2)} × the deliveries a CPU-second of the next, ${closest.name}; more than 1 × wanted`;
  return [verdict(closest.times > 1, `${title}: ${text}`)];
}

function ratioBar(title: string, wanted: number, fleet: Row<FlowResult>, peer: Row<FlowResult>): string {
  const ratio = spread(ratios(fleet, peer, perFrontSecond)).median;
  const text = `${ratio.toFixed(2)} × nchan's deliveries a CPU-second; at least ${wanted} × wanted`;
  return verdict(ratio >= wanted, `${title}: ${text}`);
}

function hooksBar({ scenario, rows }: Table & { kind: 'hooks' }): string[] {
  const deliveries = median(rows, perFrontSecond);
  if (deliveries === undefined) return [];
  const text = `${(deliveries / 1000).toFixed(1)}k deliveries a worker CPU-second; at least 5k wanted`;
  return [verdict(deliveries >= 5_000, `${scenario.title}: ${text}`)];
}

/** Medians are compared and not pairs: a pair is as far apart as the machine's two moods. */
function hangingBar({ scenario, rows: [calm, troubled] }: Table & { kind: 'hanging' }): string[] {
  if (calm === undefined || troubled === undefined) return [];
  const p99 = (row: Row<HangingResult>) => over(row, (result) => result.p99).median;
  const times = p99(troubled) / p99(calm);
  const text = `the others' p99 is ${times.toFixed(2)} times as long with a fifth that hangs; at most 1.1 wanted`;
  return [verdict(times <= 1.1, `${scenario.title}: ${text}`)];
}

function stalledBar({ scenario, rows }: Table & { kind: 'stalled' }): string[] {
  const [calm, troubled] = [false, true].map((stalls) =>
    rows.find((row) => row.target === 'pushfleet' && row.stalls === stalls),
  );
  if (calm === undefined || troubled === undefined) return [];
  const p99 = (row: StalledRow) => over(row, (result) => result.p99).median;
  const times = p99(troubled) / p99(calm);
  const text = `the others' p99 is ${times.toFixed(2)} times as long; less than 1.1 wanted`;
  return [verdict(times < 1.1, `${scenario.title}: ${text}`)];
}

function appointmentsBar(
  { scenario }: Table & { kind: 'appointments' },
  { results }: Row<AppointmentsResult>,
): string[] {
  const bytes = Math.max(...results.map((result) => Math.max(result.residentBytes, result.restartedBytes)));
  return [below(1_000, bytes / 1e6, `MB of nats-server: ${scenario.title}`)];
}

function publishBar(row: PublishRow): string[] {
  const wanted = publishBars[row.way];
  if (wanted === undefined || row.publishers > 1) return [];
  const rate = over(row, perSecond).median;
  const thousands = `${(rate / 1000).toFixed(1)}k acknowledged a second; at least ${wanted / 1000}k wanted`;
  return [verdict(rate >= wanted, `${row.way}, one publisher: ${thousands}`)];
}

const find = <R>(rows: readonly Row<R>[], target: string) => rows.find((row) => row.target === target);

function median<R>(rows: readonly Row<R>[], of: (result: R) => number): number | undefined {
  const fleet = find(rows, 'pushfleet');
  return fleet === undefined ? undefined : over(fleet, of).median;
}

const below = (most: number, value: number, what: string) =>
  verdict(value <= most, `${value.toFixed(1)} ${what}; at most ${most} wanted`);
