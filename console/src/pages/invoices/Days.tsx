// The days of an invoice: bars that add up to its count, and each day as sealed, as it is now, and as recounted here.
import { Link } from 'wouter';
import type { InvoiceProof } from '../../api/client.ts';
import { BarChart } from '../../parts/Chart.tsx';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge, Count } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { listOf } from '../../parts/rows.ts';
import type { ComparedDay, Verdict } from '../../prove/judge.ts';
import { formatCount, formatDay, formatMonth } from '../../words/format.ts';
import { t } from '../../words/invoices.ts';
import { invoicePath } from './figures.ts';

interface DaysProps {
  ref_: string;
  proof: InvoiceProof;
  /** As sealed, against what the kernel says of the ledger now. */
  days: readonly ComparedDay[];
  /** What this browser has found. */
  verdict: Verdict | undefined;
  /** The day whose rows are shown. */
  open: string;
}

interface Row {
  day: string;
  rows: string | undefined;
  billable: string | undefined;
  overage: string | undefined;
  sealed: string | undefined;
  now: boolean;
  here: ComparedDay | undefined;
}

export function Days({ ref_: ref, proof, days, verdict, open }: DaysProps) {
  const found = new Map(verdict?.days.map((day) => [day.day, day]));
  const names = [...new Set([...days.map(({ day }) => day), ...found.keys()])].sort();
  const rows = names.map((name): Row => {
    const day = days.find((one) => one.day === name);
    const here = found.get(name);
    const shown = day?.sealed ?? day?.found ?? here?.found;
    return {
      ...{ day: name, rows: shown?.rows, billable: shown?.billable, overage: shown?.overage },
      ...{ sealed: proof.seal ? day?.sealed?.hash : undefined, now: day?.same ?? false, here },
    };
  });
  const differs = (row: Row) => !row.now || row.here?.same === false;
  const sum = rows.reduce((total, { billable }) => total + BigInt(billable ?? 0), 0n);
  const agrees = sum === BigInt(proof.event_count);
  return (
    <Section title={t('days')}>
      {rows.length > 0 && (
        <>
          <BarChart
            title={t('days_chart')}
            unit={t('unit')}
            bars={rows.map((row) => ({
              label: dayOfMonth(row.day),
              value: row.billable ?? '0',
              ...(differs(row) && { marked: true, note: t('differs') }),
            }))}
          />
          <p>
            {agrees
              ? t('days_sum', { sum: formatCount(sum) })
              : t('days_sum_differs', { sum: formatCount(sum), count: formatCount(proof.event_count) })}
          </p>
        </>
      )}
      <DataTable
        caption={t('days_caption', { month: formatMonth(proof.year_month) })}
        columns={columns(proof, verdict, { open, path: invoicePath(ref, proof.year_month) })}
        list={listOf(rows)}
        rowKey={({ day }) => day}
        nothing={t('days_nothing')}
        csv={`days-${proof.year_month}`}
        rowTone={(row) => (differs(row) ? 'bad' : undefined)}
      />
    </Section>
  );
}

function columns(
  { archive }: InvoiceProof,
  verdict: Verdict | undefined,
  { open, path }: { open: string; path: string },
): Column<Row>[] {
  const purged = archive?.purged ?? false;
  const figure = (id: 'rows' | 'billable' | 'overage', header: string, unit: string): Column<Row> => ({
    ...{ id, header, unit, align: 'end' },
    sort: (row) => (row[id] === undefined ? null : BigInt(row[id])),
    cell: (row) => <Count value={row[id]} />,
    text: (row) => row[id],
  });
  return [
    {
      ...{ id: 'day', header: t('day'), names: true, sort: (row) => row.day, text: (row) => row.day },
      cell: (row) => (
        <Link
          href={`${path}?day=${row.day}`}
          className="nowrap"
          aria-label={t('rows_of', { day: formatDay(row.day) })}
          {...(open === row.day && { 'aria-current': 'true' as const })}
        >
          {formatDay(row.day)}
        </Link>
      ),
    },
    figure('rows', t('rows'), t('rows_unit')),
    figure('billable', t('events'), t('unit')),
    figure('overage', t('overage'), t('unit')),
    {
      ...{ id: 'sealed', header: t('sealed_hash'), text: (row) => row.sealed },
      cell: (row) => (row.sealed ? <code title={row.sealed}>{row.sealed.slice(0, 12)}…</code> : '–'),
    },
    {
      ...{ id: 'now', header: t('ledger_now') },
      cell: (row) => (purged ? <Badge>{t('left')}</Badge> : <Same same={row.now} />),
      text: (row) => t(purged ? 'left' : row.now ? 'same' : 'differs'),
    },
    {
      ...{ id: 'here', header: t('here'), text: (row) => row.here?.found?.hash },
      cell: (row) =>
        verdict && row.here ? <Same same={row.here.same} /> : <span className="muted">{t('not_yet')}</span>,
    },
  ];
}

export function Same({ same }: { same: boolean }) {
  return same ? <Badge tone="good">✓ {t('same')}</Badge> : <Badge tone="bad">✗ {t('differs')}</Badge>;
}

const dayOfMonth = (day: string) => String(Number(day.slice(8)));
