// Reconciliations of providers: what each listed, found and wrote down, and the drift by currency.
import { useState } from 'react';
import { rowsOf, useRead } from '../../api/query.ts';
import { LineChart } from '../../parts/Chart.tsx';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge, Count, type Tone } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { When } from '../../parts/When.tsx';
import { t, typeWord } from '../../words/findings.ts';
import { formatAmount } from '../../words/format.ts';
import { decimal } from '../money/amount.tsx';
import { type Run, statsOf, totalsOf } from './kinds.ts';
import { Reconcile } from './Reconcile.tsx';
import { TotalsOf } from './Totals.tsx';

const tones: Record<Run['status'], Tone> = {
  queued: 'info',
  running: 'info',
  completed: 'good',
  incomplete: 'warn',
  failed: 'bad',
};

export function Runs({ tenant_id }: { tenant_id: string }) {
  const [asking, setAsking] = useState(false);
  const read = useRead('GET /api/v1/reconciliation/runs', { query: { tenant_id } }, { live: true });
  const list = rowsOf(read, (answer) => answer.items);
  return (
    <Section
      title={t('runs')}
      actions={
        <button type="button" onClick={() => setAsking(true)}>
          {t('now')}
        </button>
      }
    >
      <Drift runs={list.rows ?? []} />
      <div className="movements">
        <DataTable
          caption={t('runs_caption')}
          columns={columns()}
          list={{ ...list, total: read.answer?.meta.total }}
          rowKey={(run) => run.id}
          nothing={t('runs_nothing')}
          csv="reconciliations"
        />
      </div>
      {asking && <Reconcile tenant_id={tenant_id} onClose={() => setAsking(false)} />}
    </Section>
  );
}

/** One chart for each currency, for amounts of two currencies have no common axis. */
function Drift({ runs }: { runs: readonly Run[] }) {
  const told = runs.filter(({ status, dry_run }) => status === 'completed' && !dry_run).toReversed();
  const currencies = [...new Set(told.flatMap((run) => totalsOf(run).map(({ currency }) => currency)))];
  const charts = currencies.map((currency) => ({
    currency,
    points: told.flatMap((run) =>
      totalsOf(run)
        .filter((totals) => totals.currency === currency)
        .map(({ drift_minor }) => ({ at: run.window_end, value: decimal(drift_minor, currency) })),
    ),
  }));
  return (
    <div className="columns">
      {charts
        .filter(({ points }) => points.length > 1)
        .map(({ currency, points }) => (
          <LineChart
            key={currency}
            title={t('drift_chart', { currency })}
            unit={currency}
            height={160}
            series={[{ name: currency, kind: 'step', points }]}
            format={(value) => `${value} ${currency}`}
          />
        ))}
    </div>
  );
}

const columns = (): Column<Run>[] => [
  {
    id: 'begun',
    header: t('run_started'),
    names: true,
    cell: (run) => <When at={run.created_at} />,
    text: (run) => run.created_at,
  },
  { id: 'provider', header: t('provider'), cell: (run) => run.provider, text: (run) => run.provider },
  {
    id: 'window',
    header: t('run_window'),
    cell: (run) => (
      <>
        <When at={run.window_start} /> –<br />
        <When at={run.window_end} />
      </>
    ),
    text: (run) => `${run.window_start}/${run.window_end}`,
  },
  {
    id: 'state',
    header: t('run_state'),
    cell: (run) => (
      <>
        <Badge tone={tones[run.status]}>{t(`run_${run.status}`)}</Badge>{' '}
        {run.dry_run && <Badge>{t('run_dry')}</Badge>}
        {run.error && <div className="small">{run.error.message}</div>}
      </>
    ),
    text: (run) => run.status,
  },
  {
    id: 'listed',
    header: t('run_listed'),
    unit: t('run_listed_unit'),
    align: 'end',
    cell: (run) => <Count value={statsOf(run).listed} />,
    text: (run) => statsOf(run).listed,
  },
  {
    id: 'differences',
    header: t('run_differences'),
    cell: (run) => <Differences run={run} />,
    text: (run) => JSON.stringify(statsOf(run).differences ?? {}),
  },
  {
    id: 'written',
    header: t('run_written'),
    cell: (run) => (run.dry_run ? <span className="muted">–</span> : written(run)),
    text: written,
  },
  {
    id: 'totals',
    header: t('run_totals'),
    cell: (run) => <TotalsOf run={run} />,
    text: (run) =>
      totalsOf(run)
        .map(({ currency, drift_minor }) => formatAmount(drift_minor, currency))
        .join('; '),
  },
];

const written = (run: Run) => {
  const { new: fresh = '0', reopened = '0', resolved = '0' } = statsOf(run);
  return t('written', { fresh, reopened, resolved });
};

function Differences({ run }: { run: Run }) {
  const found = Object.entries(statsOf(run).differences ?? {});
  if (found.length === 0) return <span className="muted">–</span>;
  return (
    <ul className="plain">
      {found.map(([type, n]) => (
        <li key={type}>
          <Count value={n} /> {typeWord(type)}
        </li>
      ))}
    </ul>
  );
}
