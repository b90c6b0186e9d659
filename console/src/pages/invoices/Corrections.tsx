// The corrections of a frozen month, and those of other months that are booked in it: with their reason and both people.
import { Link } from 'wouter';
import type { Adjustment, Answer } from '../../api/client.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Section } from '../../parts/Page.tsx';
import { listOf } from '../../parts/rows.ts';
import { When } from '../../parts/When.tsx';
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/invoices.ts';
import { invoicePath, signed } from './figures.ts';

type Invoice = Answer<'GET /api/sites/{ref}/invoices'>['invoices'][number];

export function CorrectionTables({ ref_: ref, invoice }: { ref_: string; invoice: Invoice }) {
  const { adjustments, corrected_by } = invoice;
  if (adjustments.length + corrected_by.length === 0) return null;
  return (
    <Section title={t('corrections')}>
      {corrected_by.length > 0 && (
        <DataTable
          caption={t('of_month')}
          columns={columns(ref, 'booked_in', ({ year_month }) => year_month)}
          list={listOf(corrected_by)}
          rowKey={({ id }) => id}
        />
      )}
      {adjustments.length > 0 && (
        <DataTable
          caption={t('from_month')}
          columns={columns(ref, 'corrects', ({ corrects_month }) => corrects_month)}
          list={listOf(adjustments)}
          rowKey={({ id }) => id}
        />
      )}
    </Section>
  );
}

function columns(
  ref: string,
  other: 'booked_in' | 'corrects',
  month: (row: Adjustment) => string,
): Column<Adjustment>[] {
  return [
    {
      ...{ id: 'month', header: t(other), names: true },
      cell: (row) => <Link href={invoicePath(ref, month(row))}>{formatMonth(month(row))}</Link>,
    },
    {
      ...{ id: 'events', header: t('delta'), unit: t('unit'), align: 'end' },
      cell: (row) => <span className="number">{signed(row.event_delta)}</span>,
    },
    {
      ...{ id: 'overage', header: t('delta_overage'), unit: t('unit'), align: 'end' },
      cell: (row) => <span className="number">{signed(row.overage_delta)}</span>,
    },
    { id: 'reason', header: t('reason'), cell: (row) => row.reason },
    { id: 'author', header: t('author'), cell: (row) => <code>{row.author}</code> },
    { id: 'approver', header: t('approver'), cell: (row) => <code>{row.approver}</code> },
    { id: 'at', header: t('booked_at'), cell: (row) => <When at={row.created_at} /> },
  ];
}
