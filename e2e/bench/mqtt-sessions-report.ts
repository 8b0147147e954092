import { type Columns, lines, none, percent, shown, tenths, thousands, times, verdict } from './columns.ts';
import type { MqttRestResult } from './mqtt/rest.ts';
import type { MqttResumeResult } from './mqtt/resume.ts';
import { type Part, parts } from './mqtt/session-fleet.ts';
import {
  type LastingResult,
  type MqttSessionsTable,
  over,
  type Row,
  ratios,
  spread,
  usPerFleetDelivery,
} from './results.ts';

const million = 1e6;
const whole = (value: number): string => Math.round(value).toLocaleString('en');
const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;

const restColumns: Columns<Row<MqttRestResult>> = {
  head: [
    'bytes in Redis',
    'bytes in the log',
    '1,000,000 of them in Redis',
    'in the log, each replica',
    'came and left / s',
  ],
  cells: (row) => [
    shown(
      over(row, ({ redis }) => redis),
      whole,
    ),
    shown(
      over(row, ({ log }) => log),
      whole,
    ),
    gigabytes(over(row, ({ redis }) => redis).median * million),
    gigabytes(over(row, ({ log }) => log).median * million),
    thousands(over(row, ({ perSecond }) => perSecond).median),
  ],
};

/** CPU milliseconds of a part for one session. */
const msOf =
  (part: Part) =>
  ({ cpu, sessions }: MqttResumeResult): number =>
    (1_000 * cpu[part]) / sessions;

const resumeColumns: Columns<Row<MqttResumeResult>> = {
  head: [
    'all accepted, s',
    'all have what they are owed, s',
    'sessions / s',
    ...parts.map((part) => `${part}: CPU ms / session`),
    'clients’ CPU',
  ],
  cells: (row) => [
    shown(
      over(row, ({ acceptedSeconds }) => acceptedSeconds),
      times,
    ),
    shown(
      over(row, ({ seconds }) => seconds),
      times,
    ),
    thousands(over(row, ({ sessions, acceptedSeconds }) => sessions / acceptedSeconds).median),
    ...parts.map((part) => shown(over(row, msOf(part)), times)),
    percent(over(row, ({ clientCpu }) => clientCpu).median),
  ],
};

const usOf =
  (part: Part) =>
  ({ cpu, deliveries }: LastingResult): number =>
    (1e6 * cpu[part]) / deliveries;

const lastingColumns: Columns<Row<LastingResult>> = {
  head: [
    'sessions',
    ...parts.map((part) => `${part}: CPU µs / delivery`),
    'together',
    'ratio',
    'deliveries / s',
    'p50 ms',
    'p99 ms',
    'clients’ CPU',
  ],
  cells: (row, clean) => [
    row.target,
    ...parts.map((part) => shown(over(row, usOf(part)), tenths)),
    shown(over(row, usPerFleetDelivery), tenths),
    clean === undefined || clean === row
      ? none
      : shown(spread(ratios(row, clean, usPerFleetDelivery)), times),
    thousands(over(row, ({ deliveries, seconds }) => deliveries / seconds).median),
    tenths(over(row, ({ p50 }) => p50).median),
    tenths(over(row, ({ p99 }) => p99).median),
    percent(over(row, ({ clientCpu }) => clientCpu).median),
  ],
};

const isClean = ({ target }: { readonly target: string }): boolean => target.startsWith('that end');

/** The table of a scenario of MQTT's sessions. */
export function mqttSessionsBody(measured: MqttSessionsTable): string {
  if (measured.kind === 'mqttRest') return lines(named(restColumns), measured.rows);
  if (measured.kind === 'mqttResume') return lines(named(resumeColumns), measured.rows);
  return lines(lastingColumns, measured.rows, isClean);
}

const named = <R extends { readonly target: string }>({ head, cells }: Columns<R>): Columns<R> => ({
  head: ['server', ...head],
  cells: (row, peer) => [row.target, ...cells(row, peer)],
});

/** Most CPU time for a message to a session that lasts, by that to one that does not. */
const mostOfClean = 2;

/** What Pushfleet has to reach of sessions that last. */
export function mqttSessionsBars(table: MqttSessionsTable): string[] {
  if (table.kind !== 'mqttLasting') return [];
  const [clean, lasting] = table.rows;
  if (clean === undefined || lasting === undefined) return [];
  const { median } = spread(ratios(lasting, clean, usPerFleetDelivery));
  const text = `${table.scenario.title}: sessions that last cost ${median.toFixed(2)} × the CPU time a delivery of those that do not; at most ${mostOfClean} wanted`;
  return [verdict(median <= mostOfClean, text)];
}
