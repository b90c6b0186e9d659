// The rows of a day as they are hashed, a hundred at a time, each with the hash that this browser makes of it.
import { useEffect, useRef, useState } from 'react';
import { Link, useSearchParams } from 'wouter';
import { type List, useRead } from '../../api/query.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { Nothing } from '../../parts/states.tsx';
import { When } from '../../parts/When.tsx';
import { sha256 } from '../../prove/recount.ts';
import { formatCount, formatDay } from '../../words/format.ts';
import { t } from '../../words/invoices.ts';

interface DayRowsProps {
  ref_: string;
  month: string;
  day: string;
  /** Where the rows shown begin, within the page of the API. */
  from: number;
  go: (from: number) => void;
  close: () => void;
  purged: boolean;
}
interface Row {
  line: string;
  fields: readonly string[];
  hash: string | undefined;
}
const rows_shown = 100;

export function DayRows(props: DayRowsProps) {
  const { month, day, from, close, purged } = props;
  const { list, first } = useLines(props);
  const top = useRef<HTMLDivElement>(null);
  useEffect(() => top.current?.scrollIntoView(), []);
  return (
    <div ref={top}>
      <Section
        title={t('rows_of', { day: formatDay(day) })}
        actions={
          <button type="button" onClick={close}>
            {t('close_rows')}
          </button>
        }
      >
        {purged ? (
          <Nothing>{t('rows_left')}</Nothing>
        ) : (
          <DataTable
            caption={t('rows_caption', {
              day: formatDay(day),
              from: formatCount(list.rows?.length ? first + from + 1 : 0),
              to: formatCount(list.rows?.length ? first + from + list.rows.length : 0),
            })}
            columns={columns()}
            list={list}
            rowKey={({ line }) => line}
            nothing={t('rows_nothing')}
            csv={`rows-${month}-${day}`}
          />
        )}
      </Section>
    </div>
  );
}

/** The API gives up to 4,000 lines a page, more than a table should hold: it is shown in parts. */
function useLines({ ref_: ref, month, day, from, go, purged }: DayRowsProps) {
  const [search, setSearch] = useSearchParams();
  const cursor = search.get('cursor') ?? undefined;
  /** The pages before: their cursor and how many lines they had. */
  const before = useRef<{ cursor: string | undefined; lines: number }[]>([]);
  if (cursor === undefined) before.current = [];
  const read = useRead(
    'GET /api/sites/{ref}/invoices/{month}/lines',
    { path: { ref, month }, query: { day, cursor } },
    { enabled: !purged },
  );
  const lines = read.answer?.lines ? read.answer.lines.split('\n') : [];
  const shown = lines.slice(from, from + rows_shown);
  const hashes = useHashes(shown);
  const turn = (to: string | undefined, at: number) =>
    setSearch((old) => {
      const next = new URLSearchParams(old);
      if (to === undefined) next.delete('cursor');
      else next.set('cursor', to);
      next.set('from', String(at));
      return next;
    });
  const following = read.answer?.next_cursor ?? undefined;
  const previous = before.current.at(-1);
  const rowOf = (line: string): Row => ({ line, fields: line.split(','), hash: hashes.get(line) });
  const list: List<Row> = {
    ...{ rows: read.answer && shown.map(rowOf), as_of_ms: read.as_of_ms, loading: read.loading },
    ...{ error: read.error, retry: read.retry, all: async () => lines.map(rowOf) },
    ...(from + rows_shown < lines.length && { older: () => go(from + rows_shown) }),
    ...(from + rows_shown >= lines.length &&
      following && {
        older: () => {
          before.current.push({ cursor, lines: lines.length });
          turn(following, 0);
        },
      }),
    ...(from > 0 && { newer: () => go(Math.max(0, from - rows_shown)) }),
    ...(from === 0 &&
      previous && {
        newer: () => {
          before.current.pop();
          turn(previous.cursor, Math.max(0, previous.lines - rows_shown));
        },
      }),
    ...((from > 0 || cursor !== undefined) && { newest: () => turn(undefined, 0) }),
  };
  return { list, first: before.current.reduce((sum, page) => sum + page.lines, 0) };
}

function useHashes(lines: readonly string[]): ReadonlyMap<string, string> {
  const [hashes, setHashes] = useState<ReadonlyMap<string, string>>(new Map());
  const wanted = lines.join('\n');
  useEffect(() => {
    let current = true;
    const all = wanted === '' ? [] : wanted.split('\n');
    void Promise.all(all.map(async (line) => [line, await sha256(line)] as const)).then(
      (made) => current && setHashes(new Map(made)),
    );
    return () => {
      current = false;
    };
  }, [wanted]);
  return hashes;
}

function columns(): Column<Row>[] {
  const field = (nth: number) => (row: Row) => row.fields[nth] ?? '';
  const [created_at, key, version, state, billable, id, reason, payload_hash] = Array.from(
    { length: 8 },
    (_, nth) => field(nth),
  ) as [Of, Of, Of, Of, Of, Of, Of, Of];
  return [
    { id: 'id', header: t('row_id'), names: true, cell: (row) => <RowId row={row} />, text: id },
    {
      ...{ id: 'at', header: t('created_at'), text: created_at },
      cell: (row) => (
        <span className="nowrap">
          <When at={created_at(row)} />
        </span>
      ),
    },
    {
      ...{ id: 'verdict', header: t('verdict'), text: state },
      cell: (row) => <Badge tone={toneOf(state(row))}>{state(row)}</Badge>,
    },
    { id: 'billable', header: t('billable'), cell: (row) => <Whole text={billable(row)} />, text: billable },
    { id: 'reason', header: t('reason_code'), cell: (row) => <Whole text={reason(row)} />, text: reason },
    { id: 'key', header: t('key'), cell: (row) => <Short text={key(row)} />, text: key },
    { id: 'version', header: t('version'), align: 'end', cell: version, text: version },
    {
      ...{ id: 'payload', header: t('payload_hash'), text: payload_hash },
      cell: (row) => <Short text={payload_hash(row)} />,
    },
    {
      ...{ id: 'hash', header: t('line_hash'), text: (row) => row.hash },
      cell: (row) => <Short text={row.hash ?? ''} title={`${t('line')}: ${row.line}`} />,
    },
  ];
}
type Of = (row: Row) => string;

function Whole({ text }: { text: string }) {
  return <code className="nowrap">{text}</code>;
}

function Short({ text, title = text }: { text: string; title?: string }) {
  if (text === '') return <span className="muted">–</span>;
  return (
    <code className="nowrap" title={title}>
      {text.length > 15 ? `${text.slice(0, 14)}…` : text}
    </code>
  );
}

/** A link to every decision taken on the event; a rejected one was not taken in and has no such page. */
function RowId({ row }: { row: Row }) {
  const [created_at = '', , , state, , id = ''] = row.fields;
  if (state === 'REJECTED_QUOTA' || !/^\d+$/.test(id)) return <span className="number">{id}</span>;
  return <Link href={`/events?id=${ingestId(id, created_at)}`}>{id}</Link>;
}

/** The ingest_id that stands for a row: its millisecond and its id. */
function ingestId(id: string, created_at: string): string {
  const at_ms = Date.parse(created_at.replace(/(\.\d{3})\d*Z$/, '$1Z'));
  const row = (BigInt(id) | (1n << 63n)).toString(16);
  const hex = `${at_ms.toString(16).padStart(12, '0')}7000${row}`;
  return [0, 8, 12, 16, 20].map((from, nth, all) => hex.slice(from, all[nth + 1])).join('-');
}

function toneOf(state: string): 'good' | 'warn' | 'bad' | 'plain' {
  if (state === 'ACCEPTED') return 'good';
  if (state === 'OVERAGE') return 'warn';
  return state === 'REJECTED_QUOTA' ? 'bad' : 'plain';
}
