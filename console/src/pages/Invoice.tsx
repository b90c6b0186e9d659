// One invoice: its count, its corrections, its proof, its days and the rows of a day; an open month is shown as a draft.
import { useState } from 'react';
import { Link, useParams } from 'wouter';
import { ApiError, type InvoiceProof } from '../api/client.ts';
import { useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Id } from '../parts/Copy.tsx';
import { Badge, Count, Stat, Stats } from '../parts/numbers.tsx';
import { Page } from '../parts/Page.tsx';
import { Show } from '../parts/states.tsx';
import { When } from '../parts/When.tsx';
import { compareDays, type Verdict } from '../prove/judge.ts';
import { formatInstant, formatMonth } from '../words/format.ts';
import { t } from '../words/invoices.ts';
import { State } from './Invoices.tsx';
import { CorrectionTables } from './invoices/Corrections.tsx';
import { DayRows } from './invoices/DayRows.tsx';
import { Days } from './invoices/Days.tsx';
import { Draft } from './invoices/Draft.tsx';
import { corrected, monthAfter, openMonth } from './invoices/figures.ts';
import { Prove } from './invoices/Prove.tsx';
import '../styles/invoices.css';

export default function Invoice() {
  const { ref = '', month = '' } = useParams();
  const begun = month >= openMonth(); // it cannot be frozen, so the kernel is not asked
  const read = useRead(
    'GET /api/sites/{ref}/invoices/{month}',
    { path: { ref, month } },
    { enabled: !begun },
  );
  const open = begun || (read.error instanceof ApiError && read.error.code === 'month_not_frozen');
  const list = useRead(
    'GET /api/sites/{ref}/invoices',
    { path: { ref }, query: { cursor: monthAfter(month, 1), limit: 1 } },
    { enabled: !open },
  );
  const invoice = list.answer?.invoices.find(({ year_month }) => year_month === month);
  return (
    <Page
      title={t('invoice_of', { month: formatMonth(month) })}
      beside={open ? <Badge>{t('draft')}</Badge> : invoice && <State invoice={invoice} />}
      as_of_ms={read.as_of_ms}
      actions={
        <>
          <Link href={`/sites/${ref}/invoices`}>{t('all_invoices')}</Link>
          <Link href={`/dispute?site=${encodeURIComponent(ref)}&month=${month}`}>{t('export')}</Link>
        </>
      }
    >
      {open ? (
        <Draft ref_={ref} month={month} />
      ) : (
        <Show read={read}>
          {({ proof }) => (
            <Frozen ref_={ref} proof={proof} invoice={invoice} as_of_ms={read.as_of_ms ?? Date.now()} />
          )}
        </Show>
      )}
    </Page>
  );
}

type Listed = Parameters<typeof corrected>[0];

function Frozen(props: { ref_: string; proof: InvoiceProof; invoice: Listed | undefined; as_of_ms: number }) {
  const { ref_: ref, proof, invoice, as_of_ms } = props;
  const [view, setView] = useView({ day: '', from: '0' });
  const [verdict, setVerdict] = useState<Verdict>();
  const days = compareDays(proof.seal?.days ?? proof.ledger.days, proof.ledger.days);
  const rowsOf = (which: string) =>
    `/events?site=${encodeURIComponent(ref)}&month=${proof.year_month}&verdict=${which}`;
  return (
    <>
      <Stats>
        <Stat
          label={t('billed')}
          value={<Count value={proof.event_count} />}
          unit={t('unit')}
          note={formatInstant(proof.frozen_at)}
          href={rowsOf('counted')}
        />
        <Stat
          label={t('overage')}
          value={<Count value={proof.overage_count} />}
          unit={t('unit')}
          note={formatInstant(proof.frozen_at)}
          href={rowsOf('overage')}
        />
        <Stat
          label={t('corrected')}
          value={invoice && <Count value={corrected(invoice)} />}
          unit={t('unit')}
          as_of={as_of_ms}
          href={`/sites/${ref}/invoices`}
        />
        <Stat
          label={t('rows')}
          value={<Count value={proof.seal?.row_count} />}
          unit={t('rows_unit')}
          note={proof.seal && formatInstant(proof.seal.sealed_at)}
          href={rowsOf('all')}
        />
      </Stats>
      <Facts proof={proof} by={invoice?.generated_by} />
      <Prove ref_={ref} proof={proof} verdict={verdict} onVerdict={setVerdict} />
      <Days ref_={ref} proof={proof} days={days} verdict={verdict} open={view.day} />
      {view.day && (
        <DayRows
          key={view.day}
          ref_={ref}
          month={proof.year_month}
          day={view.day}
          from={Number(view.from) || 0}
          go={(from) => setView({ from: String(from) }, true)}
          close={() => setView({ day: '', from: '0' })}
          purged={proof.archive?.purged ?? false}
        />
      )}
      {invoice && <CorrectionTables ref_={ref} invoice={invoice} />}
    </>
  );
}

function Facts({ proof, by }: { proof: InvoiceProof; by: string | null | undefined }) {
  const { seal, archive } = proof;
  return (
    <section className="section pairs-card">
      <dl className="pairs">
        <dt>{t('frozen_at')}</dt>
        <dd>
          <When at={proof.frozen_at} />
        </dd>
        {by && (
          <>
            <dt>{t('by')}</dt>
            <dd>{by}</dd>
          </>
        )}
        <dt>{t('snapshot_hash')}</dt>
        <dd>
          {proof.hash_version === 0 ? (
            t('foreign_note')
          ) : (
            <Id value={proof.snapshot_hash} what={t('snapshot_hash')} />
          )}
        </dd>
        <dt>{t('commit')}</dt>
        <dd>{proof.commit_sha ? <Id value={proof.commit_sha} what={t('commit')} /> : '–'}</dd>
        <dt>{t('sealed_at')}</dt>
        <dd>{seal ? <When at={seal.sealed_at} /> : t('not_sealed')}</dd>
        {seal && (
          <>
            <dt>{t('ledger_hash')}</dt>
            <dd>
              <Id value={seal.ledger_hash} what={t('ledger_hash')} />
            </dd>
          </>
        )}
        {archive && (
          <>
            <dt>{t('archive')}</dt>
            <dd>
              <code>{archive.object_key}</code> · <When at={archive.archived_at} /> ·{' '}
              {t(archive.purged ? 'archive_purged' : 'archive_kept')}
            </dd>
            <dt>{t('archive_hash')}</dt>
            <dd>
              <Id value={archive.content_sha256} what={t('archive_hash')} />
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}
