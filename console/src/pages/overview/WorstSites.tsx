// Sites whose usage row is not the ledger, or whose events wait.
import type { Overview } from '../../api/client.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Count, Drift } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { listOf } from '../../parts/rows.ts';
import { formatDuration } from '../../words/format.ts';
import { t } from '../../words/overview.ts';
import { rowsHref } from '../site/Waterfall.tsx';
import { To } from './reach.tsx';

type Row = Overview['worst_sites'][number];

export function WorstSites({ overview }: { overview: Overview }) {
  const { worst_sites, year_month } = overview;
  const columns: Column<Row>[] = [
    {
      ...{ id: 'site', header: t('site'), names: true, sort: (row) => row.name },
      cell: ({ public_id, name }) => (
        <To href={`/sites/${encodeURIComponent(public_id)}?month=${year_month}`}>{name}</To>
      ),
    },
    {
      ...{
        id: 'usage',
        header: t('usage'),
        unit: t('events'),
        align: 'end',
        sort: (row) => BigInt(row.usage),
      },
      cell: (row) => <Count value={row.usage} />,
    },
    {
      ...{
        id: 'ledger',
        header: t('ledger'),
        unit: t('events'),
        align: 'end',
        sort: (row) => BigInt(row.ledger),
      },
      cell: (row) => <Count value={row.ledger} />,
    },
    {
      ...{ id: 'drift', header: t('drift_column'), unit: t('events'), align: 'end' },
      cell: (row) => <Drift value={row.drift} />,
      sort: (row) => BigInt(row.drift.replace('-', '')),
    },
    {
      ...{ id: 'waiting', header: t('waiting_for'), align: 'end', sort: (row) => Number(row.waiting_s ?? 0) },
      cell: ({ waiting_s, public_id }) =>
        waiting_s === null ? (
          <span className="muted">–</span>
        ) : (
          <To href={rowsHref(public_id, 'waiting', year_month)}>{formatDuration(Number(waiting_s))}</To>
        ),
    },
  ];
  return (
    <Section title={t('worst')}>
      <DataTable
        caption={t('worst_caption')}
        columns={columns}
        list={listOf(worst_sites)}
        rowKey={({ site_id }) => site_id}
        rowTone={({ drift }) => (drift === '0' ? 'warn' : 'bad')}
        nothing={t('worst_none')}
      />
    </Section>
  );
}
