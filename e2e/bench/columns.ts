// How figures and tables are written.
import { type Row, ratios, type Spread, spread } from './results.ts';

export const thousands = (value: number) =>
  value >= 100_000 ? `${Math.round(value / 1000)}k` : `${(value / 1000).toFixed(1)}k`;
export const times = (value: number) => value.toFixed(2);
export const tenths = (value: number) => value.toFixed(1);
export const kilobytes = (value: number) => `${(value / 1000).toFixed(1)} KB`;
export const percent = (value: number) => `${Math.round(100 * value)}%`;
export const none = '–';
export const verdict = (met: boolean, text: string) => `${met ? 'met' : 'MISSED'}: ${text}`;

export function shown({ median, min, max }: Spread, format: (value: number) => string): string {
  return min === max ? format(median) : `${format(median)} (${format(min)}–${format(max)})`;
}

export function ratio<R>(row: Row<R>, peer: Row<R> | undefined, of: (result: R) => number): string {
  return peer === undefined || peer === row ? none : shown(spread(ratios(row, peer, of)), times);
}

/** How to read a table: a head, and a row of cells for each row of results. */
export interface Columns<R> {
  readonly head: readonly string[];
  readonly cells: (row: R, peer: R | undefined) => readonly string[];
}

/** A table with a row for each row of results, beside that of its peer. */
export function lines<R extends { readonly target: string }>(
  { head, cells }: Columns<R>,
  rows: readonly R[],
  isPeer: (row: R, of: R) => boolean = (row) => row.target === 'nchan',
): string {
  return align([
    head,
    ...rows.map((row) =>
      cells(
        row,
        rows.find((other) => isPeer(other, row)),
      ),
    ),
  ]);
}

function align(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const rule = widths.map((width) => '-'.repeat(width));
  return [rows[0] ?? [], rule, ...rows.slice(1)]
    .map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`)
    .join('\n');
}
