import { type Columns, lines, none, percent, ratio, shown, tenths, thousands } from './columns.ts';
import { over, perFrontSecond, perPathSecond, type Row, type WebhookTable } from './results.ts';
import type { AppointmentsResult } from './scenarios/appointments.ts';
import type { HangingResult, HooksResult } from './scenarios/hooks.ts';
import type { Latency, MatchingResult } from './scenarios/matching.ts';

const megabytes = (value: number): string => `${Math.round(value / 1e6)} MB`;
const seconds = (value: number): string => `${value.toFixed(1)} s`;

const hooksColumns: Columns<Row<HooksResult>> = {
  head: [
    'sender',
    'deliveries / CPU-s',
    'with what stands behind',
    'ratio to bare pipe',
    'deliveries / s',
    'p50 ms at half of them',
    'p99 ms',
    'clients’ CPU',
  ],
  cells: (row, peer) => [
    row.target,
    shown(over(row, perFrontSecond), thousands),
    shown(over(row, perPathSecond), thousands),
    ratio(row, peer, perFrontSecond),
    thousands(over(row, (hooks) => hooks.deliveries / hooks.seconds).median),
    shown(
      over(row, (hooks) => hooks.p50),
      tenths,
    ),
    shown(
      over(row, (hooks) => hooks.p99),
      tenths,
    ),
    percent(over(row, (hooks) => hooks.clientCpu).median),
  ],
};

const hangingColumns: Columns<Row<HangingResult>> = {
  head: ['a fifth of the endpoints', 'p50 ms of the others', 'p99 ms', 'p99, ratio'],
  cells: (row, peer) => [
    row.target,
    shown(
      over(row, (result) => result.p50),
      tenths,
    ),
    shown(
      over(row, (result) => result.p99),
      tenths,
    ),
    ratio(row, peer, (result) => result.p99),
  ],
};

/** Of what is measured once. */
const only =
  <R>(cells: (result: R) => readonly string[]) =>
  ({ target, results }: Row<R>): readonly string[] => [target, ...results.flatMap(cells)];

const appointmentsColumns: Columns<Row<AppointmentsResult>> = {
  head: [
    'broker',
    'stored / s',
    'its CPU µs each',
    'resident memory',
    'on disk',
    'restart after kill -9',
    'memory then',
    'handed out late: the first',
    'the last',
  ],
  cells: only((result) => [
    thousands(result.storedPerSecond),
    tenths(result.brokerMicroseconds),
    megabytes(result.residentBytes),
    megabytes(result.diskBytes),
    seconds(result.restartSeconds),
    megabytes(result.restartedBytes),
    seconds(result.firstLate),
    seconds(result.lastLate),
  ]),
};

const both = (latency: Latency | undefined): string =>
  latency === undefined ? none : `${tenths(latency.p50)} / ${tenths(latency.p99)}`;

const matchingColumns: Columns<Row<MatchingResult>> = {
  head: [
    '',
    'empty Redis rebuilt',
    'started on a whole one',
    'memory of Redis',
    'of the registry',
    '1,000 receivers, p50 / p99 ms',
    'one publication',
    '500 in a call',
    'publications / CPU-s',
    'new one matched',
  ],
  cells: only((result) => [
    seconds(result.rebuildSeconds),
    seconds(result.startSeconds),
    megabytes(result.redisBytes),
    megabytes(result.registryBytes),
    both(result.page),
    both(result.single),
    both(result.batch),
    thousands(result.perCpuSecond),
    both(result.created),
  ]),
};

/** The table of a scenario of webhooks. */
export function webhookBody(measured: WebhookTable): string {
  if (measured.kind === 'hooks')
    return lines(hooksColumns, measured.rows, (row) => row.target === 'bare pipe');
  if (measured.kind === 'hanging')
    return lines(hangingColumns, measured.rows, (row) => row === measured.rows[0]);
  if (measured.kind === 'appointments') return lines(appointmentsColumns, measured.rows);
  return lines(matchingColumns, measured.rows);
}
