import type { FaultCase } from './cases.ts';
import type { Measured } from './measure.ts';

/** A line of the table: what came of a fault, or why it came to nothing. */
export interface Row {
  readonly fault: Pick<FaultCase, 'where' | 'what'>;
  readonly result: Measured | { readonly failed: string } | { readonly skipped: string };
}

export const isKept = ({ result }: Row): boolean =>
  'skipped' in result || (!('failed' in result) && result.broken.length === 0);

const head = ['between', 'fault', 'lasted', 'clients saw', 'lost', 'duplicated', 'recovered after'];

/** The table in Markdown, in the order of the list and not of the play. */
export function table(rows: readonly Row[]): string {
  const lines = [head, head.map(() => '---'), ...rows.map(cells)];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function cells(row: Row): string[] {
  const { fault, result } = row;
  const first = [fault.where, fault.what];
  if ('skipped' in result) return [...first, '–', `not played: ${result.skipped}`, '–', '–', '–'];
  if ('failed' in result) return [...first, '–', `**failed**: ${result.failed}`, '–', '–', '–'];
  const { lastedMs, acknowledged, deliveries, lost, duplicated, recoveryMs } = result;
  return [
    ...first,
    seconds(lastedMs),
    seen(result),
    lost === 0 ? `0 of ${number(acknowledged)}` : `**${number(lost)}** of ${number(deliveries)} deliveries`,
    `${number(duplicated)} of ${number(deliveries)}`,
    recoveryMs === undefined ? '**never**' : seconds(recoveryMs),
  ];
}

const number = (value: number): string => value.toLocaleString('en-US');
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

function seen({ cuts, failures, breaks, refusals, waitMs, gaps, broken }: Measured): string {
  const told = [
    ...Array.from(cuts, ([name, count]) => `${name} cut ${times(count)}`),
    ...(failures > 0
      ? [`${number(failures)} ${failures === 1 ? 'attempt' : 'attempts'} to connect failed`]
      : []),
    ...(breaks > 0 ? [`publishers' streams broke ${times(breaks)}`] : []),
    ...Array.from(refusals, ([code, count]) => `publishers were told ${code} ${times(count)}`),
    ...(waitMs > 1_000 ? [`publishers waited up to ${seconds(waitMs)}`] : []),
    ...(gaps > 0 ? [`**${gaps} gaps**`] : []),
    ...(broken.length > 0
      ? [`**broken**: ${broken.filter((line) => /^[\w, ]+: \d+$/.test(line)).join('; ')}`]
      : []),
  ];
  return told.length === 0 ? 'nothing' : told.join(', ');
}

const times = (count: number): string => (count === 1 ? 'once' : `${number(count)} times`);
