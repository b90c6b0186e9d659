// The dispute export in three steps: scope, preview, export; the URL holds the scope, so that a link leads to the preview.
import { useState } from 'react';
import { useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Select } from '../parts/Field.tsx';
import { Page } from '../parts/Page.tsx';
import { Failed, Loading, Nothing } from '../parts/states.tsx';
import { t } from '../words/dispute.ts';
import { formatMonth } from '../words/format.ts';
import { Exporting } from './dispute/Exporting.tsx';
import { Preview } from './dispute/Preview.tsx';
import { openMonth } from './invoices/figures.ts';
import { SiteChoice, siteOf, useSites } from './invoices/sites.tsx';
import '../styles/invoices.css';

const steps = ['step_scope', 'step_preview', 'step_export'] as const;

export default function Dispute() {
  const [view, setView] = useView({ site: '', month: '' });
  const [exporting, setExporting] = useState<string>();
  const sites = useSites('billing:view');
  const ref = view.site || sites.sites?.[0]?.public_id || '';
  const site = siteOf(sites, ref);
  const scoped = view.site !== '' && /^\d{4}-\d\d$/.test(view.month);
  const step = !scoped ? 0 : exporting === undefined ? 1 : 2;
  return (
    <Page title={t('title')}>
      <p>{t('intro')}</p>
      <ol className="steps" aria-label={t('steps')}>
        {steps.map((name, index) => (
          <li key={name} {...(index === step && { 'aria-current': 'step' as const })}>
            {t(name)}
          </li>
        ))}
      </ol>
      {sites.error && <Failed error={sites.error} retry={sites.retry} />}
      {!sites.sites && !sites.error && <Loading />}
      {sites.sites?.length === 0 && <Nothing>{t('no_site')}</Nothing>}
      {step === 0 && ref && (
        <Scope
          ref_={ref}
          month={view.month}
          choice={<SiteChoice of={sites} value={ref} choose={(to) => setView({ site: to, month: '' })} />}
          done={(month) => setView({ site: ref, month })}
        />
      )}
      {step === 1 && (
        <Preview
          ref_={ref}
          name={site?.name ?? ref}
          month={view.month}
          back={() => setView({ month: '' })}
          go={setExporting}
        />
      )}
      {step === 2 && (
        <Exporting
          ref_={ref}
          month={view.month}
          back={() => {
            setExporting(undefined);
            setView({ month: '' });
          }}
        />
      )}
    </Page>
  );
}

interface ScopeProps {
  ref_: string;
  month: string;
  choice: React.ReactNode;
  done: (month: string) => void;
}

function Scope({ ref_: ref, choice, done }: ScopeProps) {
  const invoices = useRead('GET /api/sites/{ref}/invoices', { path: { ref }, query: { limit: 120 } });
  const frozen = invoices.answer?.invoices.map(({ year_month }) => year_month) ?? [];
  const open = openMonth();
  const options = [
    ...frozen.map((month) => ({ value: month, label: t('month_frozen', { month: formatMonth(month) }) })),
    { value: open, label: t('month_open', { month: formatMonth(open) }) },
  ];
  return (
    <>
      {invoices.error && <Failed error={invoices.error} retry={invoices.retry} />}
      <form
        className="filters"
        onSubmit={(event) => {
          event.preventDefault();
          done(String(new FormData(event.currentTarget).get('month') ?? ''));
        }}
      >
        {choice}
        <Select label={t('month')} name="month" value={frozen[0] ?? open} options={options} />
        <div className="actions">
          <button type="submit" className="primary" disabled={invoices.loading}>
            {t('to_preview')}
          </button>
        </div>
      </form>
    </>
  );
}
