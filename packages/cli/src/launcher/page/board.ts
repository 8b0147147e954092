import { duration, element, make, onceAPicture, timeOfDay } from './dom.ts';
import type { Entry, Ledger } from './ledger.ts';

/** A column of the board. */
export interface Column {
  readonly id: string;
  /** A name that fits a narrow screen. */
  readonly short: string;
}

interface Row {
  readonly line: HTMLTableRowElement;
  readonly cells: ReadonlyMap<string, HTMLTableCellElement>;
}

/** Most messages that are shown. */
const shown = 20;

/** The table of what arrives: a row for each message, newest on top, and a cell for each transport. */
export class Board {
  readonly #ledger: Ledger;
  readonly #columns: readonly Column[];
  readonly #rows = new Map<string, Row>();
  readonly #body = element<HTMLTableSectionElement>('rows');
  /** To be called when the ledger changed. */
  readonly changed = onceAPicture(() => this.#draw());

  constructor(ledger: Ledger, columns: readonly Column[]) {
    this.#ledger = ledger;
    this.#columns = columns;
  }

  #draw(): void {
    const all = this.#ledger.entries;
    const entries = all.slice(0, shown);
    element('nothing').hidden = all.length > 0;
    const older = element('older');
    older.hidden = all.length <= shown;
    older.textContent = `${all.length - entries.length} older ones are not shown.`;
    const kept = new Set(entries.map(({ key }) => key));
    for (const [key, { line }] of this.#rows) {
      if (kept.has(key)) continue;
      line.remove();
      this.#rows.delete(key);
    }
    let below: Element | null = null;
    for (const entry of entries.toReversed()) {
      const row: Row = this.#rows.get(entry.key) ?? this.#add(entry, below);
      below = row.line;
      for (const { id, short } of this.#columns)
        this.#fill(row.cells.get(id) as HTMLTableCellElement, entry, id, short);
    }
  }

  #add(entry: Entry, below: Element | null): Row {
    const from =
      entry.sent === undefined ? `from elsewhere, ${timeOfDay(entry.stored ?? 0)}` : timeOfDay(entry.sent);
    const small = make('small', {}, `${entry.topic} · ${from}`);
    const cells = new Map(this.#columns.map(({ id }) => [id, make('td', { class: 'cell' })]));
    const line = make(
      'tr',
      {},
      make('th', { scope: 'row', class: 'message' }, make('span', {}, entry.text), small),
      ...cells.values(),
    );
    this.#body.insertBefore(line, below ?? this.#body.firstChild);
    const row = { line, cells };
    this.#rows.set(entry.key, row);
    return row;
  }

  #fill(cell: HTMLTableCellElement, entry: Entry, column: string, short: string): void {
    const [kind, text, more = ''] = said(entry, column, this.#ledger.isAway(column));
    if (cell.dataset.said === text + more) return;
    cell.dataset.said = text + more;
    cell.dataset.kind = kind;
    cell.replaceChildren(
      make('span', { class: 'unseen whose' }, `${short} `),
      text,
      ...(more === '' ? [] : [make('small', {}, more)]),
    );
    if (kind !== 'none') cell.classList.add('fresh');
  }
}

type Kind = 'none' | 'came' | 'missed' | 'twice';

function said(entry: Entry, column: string, away: boolean): readonly [Kind, string, string?] {
  const arrival = entry.arrivals.get(column);
  if (arrival === undefined) return ['none', away ? 'away' : 'not yet'];
  if (arrival.times > 1) return ['twice', `${arrival.times} times`];
  const since = entry.sent ?? (arrival.missed ? entry.stored : undefined);
  const text = since === undefined ? 'came' : duration(Math.max(0, arrival.at - since));
  return arrival.missed ? ['missed', text, 'after the cut'] : ['came', text];
}
