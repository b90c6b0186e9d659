// Tables: caption, sortable headers, pages by cursor, CSV of the filter, and the three ways to be empty.
import { type KeyboardEvent, type ReactNode, useId, useState } from 'react';
import type { List } from '../api/query.ts';
import { t } from '../words/words.ts';
import { CsvButton } from './Csv.tsx';
import { Failed, Loading, NoMatch, Nothing } from './states.tsx';

export interface Column<Row> {
  id: string;
  header: string;
  /** Stands in the header: every number has one. */
  unit?: string;
  cell: (row: Row) => ReactNode;
  /** For the CSV; a column without it is left out of the file. */
  text?: (row: Row) => string | number | boolean | bigint | null | undefined;
  /** Makes the header a sort button: by this value among the rows shown, or `'server'` when the page asks the kernel. */
  sort?: 'server' | ((row: Row) => string | number | bigint | null);
  /** Numbers stand at the end. */
  align?: 'end';
  /** The cell that names its row. */
  names?: true;
}
export interface DataTableProps<Row> {
  /** Says what the rows are, of what and over which time. */
  caption: string;
  columns: readonly Column<Row>[];
  /** Of useList, or rowsOf(useRead(…), answer => …). */
  list: List<Row>;
  rowKey: (row: Row) => string;
  /** Whether a filter is set, and what clears it: an empty table then says that nothing matches. */
  filtered?: boolean;
  clear?: (() => void) | undefined;
  /** What is said when there is nothing yet: how the first one comes to be. */
  nothing?: ReactNode;
  /** The name of the CSV file, without its ending; no button without it. */
  csv?: string;
  /** `column` or `-column`, with `onSort`: usually `view.sort` and `sort => setView({ sort })`. */
  sort?: string;
  onSort?: (sort: string) => void;
  /** Marks rows, for instance those that need a person. */
  rowTone?: (row: Row) => 'warn' | 'bad' | undefined;
}

export function DataTable<Row>(props: DataTableProps<Row>) {
  const { caption, columns, list, rowKey, filtered, clear, nothing, csv, rowTone } = props;
  const [ownSort, setOwnSort] = useState('');
  const [said, setSaid] = useState('');
  const id = useId();
  const sort = props.sort ?? ownSort;
  const choose = (column: Column<Row>) => {
    const next = sort === column.id ? `-${column.id}` : column.id;
    (props.onSort ?? setOwnSort)(next);
    const words = { column: column.header, direction: t(next.startsWith('-') ? 'descending' : 'ascending') };
    setSaid(column.sort === 'server' ? t('sorted_server', words) : t('sorted', words));
  };
  const { rows, error } = list;
  return (
    <div className="table" aria-busy={list.loading}>
      {error && <Failed error={error} retry={list.retry} old={rows !== undefined} />}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <section className="table-scroll" aria-labelledby={id} tabIndex={0} onKeyDown={moveRow}>
        <table>
          <caption id={id}>{caption}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <Header key={column.id} column={column} sort={sort} choose={choose} />
              ))}
            </tr>
          </thead>
          <tbody>
            {sorted(rows ?? [], columns, sort).map((row) => (
              <tr key={rowKey(row)} className={rowTone?.(row) && `row-${rowTone(row)}`}>
                {columns.map((column) => (
                  <Cell key={column.id} column={column} row={row} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {rows === undefined && !error && <Loading />}
      {rows?.length === 0 && (filtered ? <NoMatch clear={clear} /> : <Nothing>{nothing}</Nothing>)}
      <footer className="table-foot">
        {rows !== undefined && rows.length > 0 && <RowCount shown={rows.length} total={list.total} />}
        <Pager list={list} caption={caption} />
        {csv && rows !== undefined && rows.length > 0 && (
          <CsvButton name={csv} columns={columns} all={list.all} />
        )}
        <span className="hidden" role="status">
          {said}
        </span>
      </footer>
    </div>
  );
}

function Header<Row>(props: { column: Column<Row>; sort: string; choose: (column: Column<Row>) => void }) {
  const { column, sort, choose } = props;
  const label = (
    <>
      {column.header}
      {column.unit && <span className="unit"> {column.unit}</span>}
    </>
  );
  if (!column.sort)
    return (
      <th scope="col" className={column.align}>
        {label}
      </th>
    );
  const direction = sort === column.id ? 'ascending' : sort === `-${column.id}` ? 'descending' : 'none';
  return (
    <th scope="col" className={column.align} aria-sort={direction}>
      <button type="button" className="sort" onClick={() => choose(column)}>
        {label} <span aria-hidden="true">{{ ascending: '▲', descending: '▼', none: '↕' }[direction]}</span>
      </button>
    </th>
  );
}

function Cell<Row>({ column, row }: { column: Column<Row>; row: Row }) {
  if (column.names)
    return (
      <th scope="row" className={column.align}>
        {column.cell(row)}
      </th>
    );
  return <td className={column.align}>{column.cell(row)}</td>;
}

function RowCount({ shown, total }: { shown: number; total: number | undefined }) {
  return (
    <span className="muted">
      {total === undefined ? t('rows', { n: shown }) : t('rows_of', { n: shown, total })}
    </span>
  );
}

function Pager({ list, caption }: { list: List<unknown>; caption: string }) {
  const { newest, newer, older } = list;
  if (!newest && !newer && !older) return null;
  return (
    <nav className="pager" aria-label={t('pages', { table: caption })}>
      {newest && (
        <button type="button" onClick={newest}>
          {t('newest')}
        </button>
      )}
      {newer && (
        <button type="button" onClick={newer}>
          ← {t('newer')}
        </button>
      )}
      {older && (
        <button type="button" onClick={older}>
          {t('older')} →
        </button>
      )}
    </nav>
  );
}

function sorted<Row>(rows: readonly Row[], columns: readonly Column<Row>[], sort: string): readonly Row[] {
  const by = columns.find(({ id }) => id === sort.replace(/^-/, ''))?.sort;
  if (typeof by !== 'function') return rows;
  const sign = sort.startsWith('-') ? -1 : 1;
  return rows.toSorted((a, b) => sign * compare(by(a), by(b)));
}

function compare(a: string | number | bigint | null, b: string | number | bigint | null): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  if (typeof a === 'string' && typeof b === 'string') return a.localeCompare(b);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** j and k go to the first link or button of the next and the previous row. */
function moveRow({ key, currentTarget }: KeyboardEvent<HTMLElement>): void {
  if (key !== 'j' && key !== 'k') return;
  const focused = document.activeElement;
  if (focused instanceof HTMLInputElement || focused instanceof HTMLTextAreaElement) return;
  const rows = [...currentTarget.querySelectorAll<HTMLElement>('tbody tr')];
  const at = rows.findIndex((row) => row.contains(focused));
  const next = rows[key === 'j' ? at + 1 : Math.max(at - 1, 0)];
  next?.querySelector<HTMLElement>('a, button')?.focus();
}
