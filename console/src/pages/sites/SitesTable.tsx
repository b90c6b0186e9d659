// The table of sites with plan, quota, usage, ledger and drift.
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { List } from '../../api/query.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge, Count, Drift } from '../../parts/numbers.tsx';
import { When } from '../../parts/When.tsx';
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/sites.ts';
import { monthOf } from './months.tsx';
import type { SiteRow } from './own.ts';
import { QuotaBar } from './quota.tsx';
import '../../styles/sites.css';

interface SitesTableProps {
  list: List<SiteRow>;
  /** '' is this month. */
  month: string;
  sort: string;
  onSort: (sort: string) => void;
  nothing: ReactNode;
  /** Whether the list knows when a site was last heard. */
  last?: boolean;
  csv?: string;
}

const size = (value: string | undefined) =>
  value === undefined ? null : BigInt(value) < 0n ? -BigInt(value) : BigInt(value);

export function SitesTable({ list, month, sort, onSort, nothing, last, csv }: SitesTableProps) {
  const asked = month && `?month=${month}`;
  const figure = (id: 'used' | 'ledger' | 'rejected', header: string): Column<SiteRow> => ({
    ...{ id, header, unit: t('events_unit'), align: 'end', text: (row) => row[id] },
    cell: (row) => <Count value={row[id]} />,
    sort: (row) => size(row[id]),
  });
  const columns: Column<SiteRow>[] = [
    {
      ...{
        id: 'name',
        header: t('name'),
        names: true,
        sort: (row) => row.name,
        text: (row) => row.public_id,
      },
      cell: (row) => <SiteName row={row} asked={asked} />,
    },
    {
      ...{ id: 'plan', header: t('plan'), sort: (row) => row.plan?.plan_tier ?? null },
      cell: (row) => row.plan?.plan_tier ?? <span className="muted">–</span>,
      text: (row) => row.plan?.plan_tier,
    },
    {
      ...{ id: 'quota', header: t('quota'), unit: t('events_unit'), text: (row) => row.limit },
      sort: ({ used, limit }) => (used && limit && limit !== '0' ? Number(used) / Number(limit) : null),
      cell: ({ name, used, limit }) =>
        used !== undefined && limit !== undefined ? (
          <QuotaBar site={name} used={used} limit={limit} current={month === '' || month === monthOf()} />
        ) : (
          <span className="muted">–</span>
        ),
    },
    figure('used', t('usage')),
    figure('ledger', t('ledger')),
    {
      ...{ id: 'drift', header: t('drift'), unit: t('events_unit'), align: 'end', text: (row) => row.drift },
      cell: (row) => (row.drift === undefined ? <Unknown row={row} /> : <Drift value={row.drift} />),
      sort: (row) => size(row.drift),
    },
    figure('rejected', t('refused')),
    ...(last ? [lastEvent()] : []),
  ];
  return (
    <DataTable
      {...{ columns, list, sort, onSort, nothing }}
      caption={t('caption', { month: formatMonth(month || monthOf()) })}
      rowKey={(row) => row.id}
      rowTone={({ drift }) => (drift !== undefined && drift !== '0' ? 'bad' : undefined)}
      {...(csv && { csv })}
    />
  );
}

const lastEvent = (): Column<SiteRow> => ({
  ...{ id: 'last_event', header: t('last_event'), sort: (row) => row.last_event_at ?? null },
  cell: (row) => <When at={row.last_event_at} relative />,
  text: (row) => row.last_event_at,
});

function SiteName({ row, asked }: { row: SiteRow; asked: string }) {
  return (
    <>
      <Link href={`/sites/${encodeURIComponent(row.public_id)}${asked}`}>{row.name}</Link>{' '}
      {row.closed && <Badge>{t('closed')}</Badge>}
      <div className="muted small">
        <code>{row.public_id}</code>
      </div>
    </>
  );
}

/** Not zero: either the role does not see it, or it could not be read. */
function Unknown({ row }: { row: SiteRow }) {
  return <span className="muted small">{row.failed ? t('site_failed') : t('not_yours')}</span>;
}
