// Reconciliation jobs in trouble, and the heartbeat of every job of the kernel.
import type { Heartbeat, Overview } from '../../api/client.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge, Count, Stat, Stats, type Tone } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { listOf } from '../../parts/rows.ts';
import { When } from '../../parts/When.tsx';
import { formatCount, formatDuration } from '../../words/format.ts';
import { t } from '../../words/overview.ts';
import { useReach } from './reach.tsx';

export function Jobs({ overview }: { overview: Overview }) {
  const to = useReach();
  const { jobs, as_of, checks } = overview;
  const figure = (status: string, label: string, count: string, wrong: Tone) => (
    <Stat
      {...{ label, as_of, unit: t('jobs_unit'), ...to(`/jobs?status=${status}`) }}
      value={<Count value={count} />}
      tone={count === '0' ? 'plain' : wrong}
    />
  );
  return (
    <>
      <Section title={t('jobs')}>
        <Stats>
          {figure('DEAD', t('jobs_dead'), jobs.dead, 'bad')}
          {figure('STUCK', t('jobs_stuck'), jobs.stuck, 'bad')}
          {figure('FAILED', t('jobs_failed'), jobs.failed, 'warn')}
          {figure('QUEUED', t('jobs_waiting'), jobs.waiting, 'plain')}
        </Stats>
      </Section>
      <Section title={t('heartbeats')}>
        <Heartbeats beats={checks.heartbeats} />
      </Section>
    </>
  );
}

function Heartbeats({ beats }: { beats: Heartbeat[] }) {
  const columns: Column<Heartbeat>[] = [
    {
      id: 'job',
      header: t('job'),
      names: true,
      cell: ({ job }) => <code>{job}</code>,
      sort: (row) => row.job,
    },
    {
      ...{ id: 'heart', header: t('heart'), sort: (row) => Number(row.missed) },
      cell: ({ missed, last_ok_at }) =>
        missed ? (
          <Badge tone="bad">{t('heart_missed')}</Badge>
        ) : (
          <Badge tone={last_ok_at ? 'good' : 'plain'}>{t(last_ok_at ? 'heart_beats' : 'heart_waits')}</Badge>
        ),
    },
    {
      ...{ id: 'last', header: t('last_good'), sort: (row) => row.last_ok_at },
      cell: ({ last_ok_at }) => (last_ok_at ? <When at={last_ok_at} relative /> : t('never_yet')),
    },
    {
      ...{ id: 'every', header: t('every'), align: 'end', sort: (row) => row.interval_s },
      cell: ({ interval_s }) => formatDuration(interval_s),
    },
    {
      ...{ id: 'runs', header: t('runs'), unit: t('runs_unit'), align: 'end' },
      cell: ({ runs_ok, runs_failed }) => `${formatCount(runs_ok)} / ${formatCount(runs_failed)}`,
    },
  ];
  return (
    <DataTable
      caption={t('heartbeats_caption')}
      columns={columns}
      list={listOf(beats)}
      rowKey={({ job }) => job}
      rowTone={({ missed }) => (missed ? 'bad' : undefined)}
    />
  );
}
