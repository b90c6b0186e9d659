// Reconciliation jobs: of all sites for a platform admin, of one's own for an operator; each says what happens next.
import { useState } from 'react';
import { Link } from 'wouter';
import type { ReconciliationJob, SiteJob } from '../../api/client.ts';
import { rowsOf, useRead } from '../../api/query.ts';
import { useView } from '../../api/view.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Select } from '../../parts/Field.tsx';
import { Badge, Count, type Tone } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { When } from '../../parts/When.tsx';
import { formatInstant, formatMonth, formatPercent } from '../../words/format.ts';
import { t } from '../../words/jobs.ts';
import { SiteChoice, siteOf, useSites } from '../invoices/sites.tsx';
import { AgainButton, AgainDialog, type SiteMonth } from './Again.tsx';

const states = ['STUCK', 'DEAD', 'FAILED', 'PROCESSING', 'QUEUED', 'COMPLETED'] as const;
type State = (typeof states)[number];
const tones: Record<State, Tone> = {
  ...{ STUCK: 'bad', DEAD: 'bad', FAILED: 'warn', PROCESSING: 'info', QUEUED: 'plain', COMPLETED: 'good' },
};
/** What both lists have; only that of all sites names the site and the lease. */
type Job = Omit<ReconciliationJob, 'last_drift_pct'> &
  Partial<Pick<SiteJob, 'public_id' | 'stuck' | 'lease_until'>> & { last_drift_pct: number | string | null };

export function JobsOfAll() {
  const [again, setAgain] = useState<SiteMonth>();
  const [view, setView, { filtered, clear }] = useView({ status: '', sort: '' });
  const read = useRead(
    'GET /api/admin/jobs',
    { query: { status: view.status as State | '', limit: 200 } },
    { live: true },
  );
  const options = [{ value: '', label: t('all') }, ...states.map((value) => ({ value, label: t(value) }))];
  return (
    <Section title={t('reconciliation')}>
      <div className="filters">
        <Select
          label={t('status')}
          name="status"
          value={view.status}
          options={options}
          onChange={(status) => setView({ status })}
        />
      </div>
      <DataTable<Job>
        caption={t('reconciliation_caption')}
        columns={columns(setAgain)}
        list={rowsOf(read, ({ jobs }) => jobs)}
        rowKey={({ id }) => id}
        filtered={filtered}
        clear={clear}
        nothing={t('reconciliation_none')}
        csv="reconciliation-jobs"
        sort={view.sort}
        onSort={(sort) => setView({ sort }, true)}
        rowTone={toneOf}
      />
      {again && <AgainDialog {...again} onClose={() => setAgain(undefined)} />}
    </Section>
  );
}

export function JobsOfSite() {
  const [again, setAgain] = useState<SiteMonth>();
  const [view, setView] = useView({ site: '' });
  const sites = useSites('queue:operate');
  const ref = view.site || sites.sites?.[0]?.public_id || '';
  const site = siteOf(sites, ref);
  const read = useRead('GET /api/sites/{ref}/jobs', { path: { ref } }, { live: true, enabled: ref !== '' });
  return (
    <Section title={t('reconciliation')}>
      <div className="filters">
        <SiteChoice of={sites} value={ref} choose={(to) => setView({ site: to })} />
      </div>
      <DataTable<Job>
        caption={t('reconciliation_of', { site: site?.name ?? ref })}
        columns={columns(setAgain, ref)}
        list={rowsOf(read, ({ jobs }) => jobs)}
        rowKey={({ id }) => id}
        nothing={t('reconciliation_none')}
        csv={`reconciliation-jobs-${ref}`}
        rowTone={toneOf}
      />
      {again && <AgainDialog {...again} onClose={() => setAgain(undefined)} />}
    </Section>
  );
}

const stateOf = (job: Job): State => (job.stuck ? 'STUCK' : job.status);

function toneOf(job: Job): 'warn' | 'bad' | undefined {
  const tone = tones[stateOf(job)];
  return tone === 'bad' || tone === 'warn' ? tone : undefined;
}

function next(job: Job): string {
  const lease = job.lease_until ? formatInstant(job.lease_until) : '–';
  const due = job.next_attempt_at ? formatInstant(job.next_attempt_at) : '–';
  switch (stateOf(job)) {
    case 'STUCK':
      return t('next_stuck', { at: lease });
    case 'PROCESSING':
      return t('next_working', { at: lease });
    case 'QUEUED':
      return t('next_queued', { at: due });
    case 'FAILED':
      return t('next_failed', { at: due });
    case 'DEAD':
      return t('next_dead');
    default:
      return t('next_completed');
  }
}

/** @param of the site whose jobs they are; of all sites, each names its own. */
function columns(open: (of: SiteMonth) => void, of?: string): Column<Job>[] {
  const ofAll = of === undefined;
  const site: Column<Job> = {
    ...{ id: 'site', header: t('site'), names: true, sort: (row) => row.public_id ?? '' },
    cell: (row) => <Link href={`/sites/${row.public_id}`}>{row.public_id}</Link>,
    text: (row) => row.public_id,
  };
  return [
    ...(ofAll ? [site] : []),
    {
      ...{ id: 'month', header: t('month'), sort: (row) => row.year_month, text: (row) => row.year_month },
      ...(!ofAll && { names: true as const }),
      cell: (row) => <span className="nowrap">{formatMonth(row.year_month)}</span>,
    },
    {
      ...{ id: 'state', header: t('status'), sort: (row) => states.indexOf(stateOf(row)) },
      cell: (row) => <Badge tone={tones[stateOf(row)]}>{t(stateOf(row))}</Badge>,
      text: (row) => stateOf(row),
    },
    {
      ...{ id: 'next', header: t('next'), text: (row) => next(row) },
      cell: (row) => (
        <div className="next">
          {next(row)}
          {row.last_error && (
            <p className="muted">
              {t('error')}: {row.last_error}
            </p>
          )}
        </div>
      ),
    },
    {
      ...{ id: 'drift', header: t('drift'), align: 'end', sort: (row) => Number(row.last_drift_pct ?? 0) },
      cell: (row) => (row.last_drift_pct === null ? '–' : formatPercent(Number(row.last_drift_pct), 2)),
      text: (row) => row.last_drift_pct,
    },
    {
      ...{ id: 'attempts', header: t('attempts'), align: 'end', sort: (row) => row.attempt_count },
      ...{ cell: (row) => <Count value={row.attempt_count} />, text: (row) => row.attempt_count },
    },
    {
      ...{
        id: 'updated',
        header: t('updated'),
        sort: (row) => row.updated_at,
        text: (row) => row.updated_at,
      },
      cell: (row) => <When at={row.updated_at} relative />,
    },
    {
      ...{ id: 'result', header: t('result'), text: (row) => JSON.stringify(row.last_result) },
      cell: (row) =>
        row.last_result === null ? (
          '–'
        ) : (
          <details className="result">
            <summary>{t('result')}</summary>
            <pre>{JSON.stringify(row.last_result, null, 2)}</pre>
          </details>
        ),
    },
    {
      ...{ id: 'again', header: t('again'), text: () => '' },
      cell: (row) => {
        const idle = ['COMPLETED', 'FAILED', 'DEAD'].includes(stateOf(row));
        const site = of ?? row.public_id;
        return idle && site ? <AgainButton {...{ site, month: row.year_month, open }} /> : null;
      },
    },
  ];
}
