// The heartbeat of every scheduled job: missed, failed or on time, the worst first.
import { Link } from 'wouter';
import type { Heartbeat } from '../../api/client.ts';
import { rowsOf, useRead } from '../../api/query.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge, Count, type Tone } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { AsOf, When } from '../../parts/When.tsx';
import { formatDuration } from '../../words/format.ts';
import { t } from '../../words/jobs.ts';

const states = ['beat_missed', 'beat_failed', 'beat_never', 'beat_ok'] as const;
const tones: Record<(typeof states)[number], Tone> = {
  ...{ beat_missed: 'bad', beat_failed: 'bad', beat_never: 'warn', beat_ok: 'good' },
};

export function Heartbeats() {
  const read = useRead('GET /api/admin/overview', {}, { live: true });
  const list = rowsOf(read, ({ overview }) =>
    overview.checks.heartbeats.toSorted((a, b) => rank(a) - rank(b) || a.job.localeCompare(b.job)),
  );
  return (
    <Section title={t('heartbeats')} actions={read.as_of_ms && <AsOf at={read.as_of_ms} />}>
      <DataTable
        caption={t('heartbeats_caption')}
        columns={columns()}
        list={list}
        rowKey={({ job }) => job}
        nothing={t('heartbeats_none')}
        csv="heartbeats"
        rowTone={(row) => (tones[stateOf(row)] === 'bad' ? 'bad' : undefined)}
      />
      <p className="muted">
        {t('by_hand')} <Link href="/api?q=cron">{t('reference')}</Link>
      </p>
    </Section>
  );
}

function stateOf({ missed, last_ok_at, last_failed_at }: Heartbeat): (typeof states)[number] {
  if (missed) return 'beat_missed';
  if (last_failed_at !== null && (last_ok_at === null || last_failed_at > last_ok_at)) return 'beat_failed';
  return last_ok_at === null ? 'beat_never' : 'beat_ok';
}

const rank = (beat: Heartbeat) => states.indexOf(stateOf(beat));

function columns(): Column<Heartbeat>[] {
  return [
    {
      ...{ id: 'job', header: t('job'), names: true, sort: ({ job }) => job },
      ...{ cell: ({ job }) => <code>{job}</code>, text: ({ job }) => job },
    },
    {
      ...{ id: 'state', header: t('state'), sort: rank, text: (row) => t(stateOf(row)) },
      cell: (row) => <Badge tone={tones[stateOf(row)]}>{t(stateOf(row))}</Badge>,
    },
    {
      ...{ id: 'every', header: t('every'), align: 'end', sort: (row) => row.interval_s },
      cell: (row) => <span className="number">{formatDuration(row.interval_s)}</span>,
      text: (row) => row.interval_s,
    },
    {
      ...{ id: 'ok', header: t('last_ok'), text: (row) => row.last_ok_at, sort: (row) => row.last_ok_at },
      cell: (row) => <When at={row.last_ok_at} relative />,
    },
    {
      ...{ id: 'failed', header: t('last_failed'), sort: (row) => row.last_failed_at },
      cell: (row) => <When at={row.last_failed_at} relative />,
      text: (row) => row.last_failed_at,
    },
    {
      ...{ id: 'runs_ok', header: t('runs_ok'), unit: t('runs'), align: 'end' },
      ...{ cell: (row) => <Count value={row.runs_ok} />, text: (row) => row.runs_ok },
    },
    {
      ...{ id: 'runs_failed', header: t('runs_failed'), unit: t('runs'), align: 'end' },
      ...{ cell: (row) => <Count value={row.runs_failed} />, text: (row) => row.runs_failed },
    },
  ];
}
