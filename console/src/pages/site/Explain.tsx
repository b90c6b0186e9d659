// Why usage row and ledger differ, what is not delivered, what reconciliation found last, and what it will do.
import { Link } from 'wouter';
import type { ReconciliationJob } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Count, Drift } from '../../parts/numbers.tsx';
import { When } from '../../parts/When.tsx';
import { has, useViewer } from '../../session/viewer.ts';
import { formatCount, formatRelative } from '../../words/format.ts';
import { t } from '../../words/sites.ts';
import { rowsHref, type SiteUsage } from './Waterfall.tsx';

export function Explain({ site, usage, current }: { site: string; usage: SiteUsage; current: boolean }) {
  const viewer = useViewer();
  const operates = has(viewer, 'platform-admin') || has(viewer, 'queue:operate', site);
  const jobs = useRead(
    'GET /api/sites/{ref}/jobs',
    { path: { ref: site } },
    { live: current, enabled: operates },
  );
  const invoices = useRead('GET /api/sites/{ref}/invoices', { path: { ref: site } });
  const { drift, year_month } = usage;
  const job = jobs.answer?.jobs.find((one) => one.year_month === year_month);
  const frozen = invoices.answer?.invoices.some((invoice) => invoice.year_month === year_month) ?? false;
  const size = formatCount(drift.replace('-', ''));
  return (
    <details className="explain card" open={drift !== '0'}>
      <summary>{drift === '0' ? t('explain_none') : t('explain', { n: size })}</summary>
      <p>
        {drift === '0'
          ? t('explain_equal')
          : t(drift.startsWith('-') ? 'explain_under' : 'explain_over', { n: size })}{' '}
        {t('explain_invoice')}
      </p>
      <dl className="pairs">
        <dt>{t('waiting')}</dt>
        <dd>
          <Count value={usage.outbox.waiting} />{' '}
          {usage.outbox.waiting !== '0' && (
            <Link href={rowsHref(site, 'waiting', year_month)}>{t('waiting_link')}</Link>
          )}
        </dd>
        <dt>{t('undelivered')}</dt>
        <dd>
          <Count value={undelivered(usage)} />{' '}
          <Link href={rowsHref(site, 'undelivered', year_month)}>{t('undelivered_link')}</Link>
          {undelivered(usage) !== 0n && <div>{t('undelivered_next')}</div>}
        </dd>
        {operates ? <LastRun job={job} /> : <Hidden />}
        <dt>{t('what_next')}</dt>
        <dd>
          {nextStep(drift, frozen, job)}{' '}
          {job?.status === 'DEAD' && drift !== '0' && !frozen && (
            <Link href="/jobs?status=DEAD">{t('to_jobs')}</Link>
          )}
        </dd>
      </dl>
    </details>
  );
}

/** Rows that were admitted, less those that have arrived and those that wait. */
function undelivered({ ledger, events, outbox }: SiteUsage): bigint {
  const missing =
    BigInt(ledger.rows) - BigInt(ledger.rejected) - BigInt(events.delivered) - BigInt(outbox.waiting);
  return missing > 0n ? missing : 0n;
}

function Hidden() {
  return (
    <>
      <dt>{t('last_run')}</dt>
      <dd className="muted">{t('last_run_hidden')}</dd>
    </>
  );
}

function LastRun({ job }: { job: ReconciliationJob | undefined }) {
  const found = (name: string) => {
    const value = job?.last_result?.[name];
    return typeof value === 'string' && /^-?\d+$/.test(value) ? value : undefined;
  };
  return (
    <>
      <dt>{t('last_run')}</dt>
      <dd>
        {job ? (
          <>
            {t('last_run_of', { state: job.status, n: job.attempt_count })} · <When at={job.updated_at} />
            {job.last_error && <div>{t('last_run_error', { error: job.last_error })}</div>}
          </>
        ) : (
          t('last_run_none')
        )}
      </dd>
      {found('ledgerless') && (
        <>
          <dt>{t('ledgerless')}</dt>
          <dd>
            <Count value={found('ledgerless')} />
          </dd>
        </>
      )}
      {found('usage_delta') && (
        <>
          <dt>{t('corrected')}</dt>
          <dd>
            <Count value={found('usage_delta')} unit={t('events_unit')} />
          </dd>
        </>
      )}
      {found('counter_drift') && (
        <>
          <dt>{t('counter_before')}</dt>
          <dd>
            <Drift value={found('counter_drift')} />
          </dd>
        </>
      )}
    </>
  );
}

function nextStep(drift: string, frozen: boolean, job: ReconciliationJob | undefined): string {
  if (frozen) return t('next_frozen');
  if (drift === '0') return t('next_nothing');
  if (job?.status === 'DEAD') return t('next_dead', { n: job.attempt_count });
  if (job?.status === 'FAILED' && job.next_attempt_at)
    return t('next_retry', { when: formatRelative(job.next_attempt_at) });
  const correction = -BigInt(drift);
  return t('next_run', { n: `${correction > 0n ? '+' : '−'}${formatCount(drift.replace('-', ''))}` });
}
