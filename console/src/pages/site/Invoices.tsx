// The frozen invoices of a site, each with the way to prove it.
import { Link } from 'wouter';
import type { Invoice } from '../../api/client.ts';
import { rowsOf, useRead } from '../../api/query.ts';
import { Id } from '../../parts/Copy.tsx';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Count } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { When } from '../../parts/When.tsx';
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/sites.ts';

export function SiteInvoices({ site }: { site: string }) {
  const read = useRead('GET /api/sites/{ref}/invoices', { path: { ref: site } });
  const at = (month: string) => `/sites/${encodeURIComponent(site)}/invoices/${month}`;
  const columns: Column<Invoice>[] = [
    {
      ...{ id: 'month', header: t('invoice_month'), names: true },
      cell: ({ year_month }) => <Link href={at(year_month)}>{formatMonth(year_month)}</Link>,
    },
    {
      ...{ id: 'events', header: t('invoice_events'), unit: t('events_unit'), align: 'end' },
      cell: ({ event_count }) => <Count value={event_count} />,
    },
    {
      ...{ id: 'overage', header: t('invoice_overage'), unit: t('events_unit'), align: 'end' },
      cell: ({ overage_count }) => <Count value={overage_count} />,
    },
    { id: 'frozen', header: t('invoice_frozen'), cell: ({ frozen_at }) => <When at={frozen_at} /> },
    {
      ...{ id: 'hash', header: t('invoice_hash') },
      cell: ({ snapshot_hash }) => <Id value={snapshot_hash} what={t('invoice_hash')} short />,
    },
    {
      ...{ id: 'prove', header: t('prove') },
      cell: ({ year_month }) => (
        <Link href={at(year_month)}>
          {t('prove')} <span className="hidden">{formatMonth(year_month)}</span>
        </Link>
      ),
    },
  ];
  return (
    <Section title={t('invoices')}>
      <DataTable
        caption={t('invoices_caption')}
        columns={columns}
        list={rowsOf(read, ({ invoices }) => invoices)}
        rowKey={({ year_month }) => year_month}
        nothing={t('invoices_none')}
      />
    </Section>
  );
}
