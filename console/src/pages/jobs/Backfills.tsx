// Backfills: how far each came, and the two that a person may start, always with a dry run first.
import { useState } from 'react';
import { Link } from 'wouter';
import type { Migration } from '../../api/client.ts';
import { useList } from '../../api/query.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge, Count, Progress, type Tone } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { When } from '../../parts/When.tsx';
import { formatDay } from '../../words/format.ts';
import { t } from '../../words/jobs.ts';
import { EventsDialog } from './EventsDialog.tsx';
import { WalletsDialog } from './WalletsDialog.tsx';

export const migration_tones: Record<Migration['status'], Tone> = {
  ...{ pending: 'plain', running: 'info', completed: 'good', failed: 'bad' },
};

export function Backfills() {
  const [starting, setStarting] = useState<'events' | 'wallets'>();
  const list = useList(
    'GET /api/admin/dataMigrations',
    { query: { limit: 50 } },
    { rows: ({ migrations }) => migrations, live: true },
  );
  return (
    <Section
      title={t('backfills')}
      actions={
        <>
          <button type="button" onClick={() => setStarting('events')}>
            {t('start_events')}
          </button>
          <button type="button" onClick={() => setStarting('wallets')}>
            {t('start_wallets')}
          </button>
        </>
      }
    >
      <DataTable
        caption={t('backfills_caption')}
        columns={columns()}
        list={list}
        rowKey={({ id }) => id}
        nothing={t('backfills_none')}
        csv="backfills"
        rowTone={({ status }) => (status === 'failed' ? 'bad' : undefined)}
      />
      {starting === 'events' && <EventsDialog onClose={() => setStarting(undefined)} />}
      {starting === 'wallets' && <WalletsDialog onClose={() => setStarting(undefined)} />}
    </Section>
  );
}

/** Of a backfill whose items are known before; a takeover learns of its wallets as it goes. */
export function totalOf({ type, totalCount }: Pick<Migration, 'type' | 'totalCount'>): string | null {
  return type === 'wallet_snapshots' ? null : totalCount;
}

export function daysOf({ startDate, endDate }: Pick<Migration, 'startDate' | 'endDate'>): string {
  if (startDate === null || endDate === null) return '–';
  return startDate === endDate ? formatDay(startDate) : `${formatDay(startDate)} – ${formatDay(endDate)}`;
}

function columns(): Column<Migration>[] {
  return [
    {
      ...{ id: 'id', header: t('id'), names: true, text: (row) => row.id },
      cell: (row) => <Link href={`/jobs/${encodeURIComponent(row.id)}`}>{row.id}</Link>,
    },
    { id: 'type', header: t('type'), cell: (row) => t(row.type), text: (row) => row.type },
    {
      ...{ id: 'status', header: t('status'), text: (row) => row.status },
      cell: (row) => <Badge tone={migration_tones[row.status]}>{t(row.status)}</Badge>,
    },
    { id: 'days', header: t('range'), cell: daysOf, text: daysOf },
    {
      ...{ id: 'progress', header: t('progress'), text: (row) => row.processedCount },
      cell: (row) => (
        <Progress label={`${t('progress')} ${row.id}`} done={row.processedCount} total={totalOf(row)} />
      ),
    },
    {
      ...{ id: 'errors', header: t('errors'), align: 'end', text: (row) => row.errorCount },
      cell: (row) => <Count value={row.errorCount} />,
    },
    {
      ...{ id: 'started', header: t('started'), text: (row) => row.createdAt },
      cell: (row) => <When at={row.createdAt} />,
    },
    { id: 'by', header: t('by'), cell: (row) => <code>{row.createdBy}</code>, text: (row) => row.createdBy },
  ];
}
