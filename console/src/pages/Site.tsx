// A site: what became of every event of a month, its quota, its days, its usage from three sides, loss, plan and invoices.
import { Link, useParams } from 'wouter';
import { type Read, useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Id } from '../parts/Copy.tsx';
import { Badge } from '../parts/numbers.tsx';
import { Page } from '../parts/Page.tsx';
import { Show } from '../parts/states.tsx';
import { has, useViewer } from '../session/viewer.ts';
import { formatMonth } from '../words/format.ts';
import { t } from '../words/sites.ts';
import { Days } from './site/Days.tsx';
import { Explain } from './site/Explain.tsx';
import { FirstEvent } from './site/FirstEvent.tsx';
import { SiteInvoices } from './site/Invoices.tsx';
import { PlanCard } from './site/PlanCard.tsx';
import { QuotaCard } from './site/QuotaCard.tsx';
import { Sides } from './site/Sides.tsx';
import { Tracker } from './site/Tracker.tsx';
import { type SiteUsage, Waterfall } from './site/Waterfall.tsx';
import { MonthSelect, monthOf } from './sites/months.tsx';
import '../styles/sites.css';

export default function Site() {
  const { ref = '' } = useParams<{ ref: string }>();
  const [{ month }, setView] = useView({ month: '' });
  const viewer = useViewer();
  const sees = has(viewer, 'platform-admin') || has(viewer, 'billing:view', ref);
  const { name, public_id, closed, origin } = useSite(ref);
  const usage = useRead(
    'GET /api/sites/{ref}/usage',
    { path: { ref }, query: { month } },
    { live: true, enabled: sees },
  );
  const path = `/sites/${encodeURIComponent(ref)}`;
  return (
    <Page
      title={name}
      beside={
        <>
          <Id value={public_id} />
          {closed && <Badge>{t('closed')}</Badge>}
        </>
      }
      as_of_ms={usage.as_of_ms}
      actions={
        <>
          <Link href={`/events?site=${encodeURIComponent(ref)}`}>{t('to_events')}</Link>
          {sees && <Link href={`${path}/invoices`}>{t('to_invoices')}</Link>}
          {sees && <Link href={`/plans?id=${encodeURIComponent(public_id)}`}>{t('to_plans')}</Link>}
        </>
      }
    >
      <div className="filters">
        <MonthSelect value={month} onChange={(chosen) => setView({ month: chosen })} />
      </div>
      {!sees && <p className="muted">{t('no_billing')}</p>}
      {sees ? (
        <Usage site={ref} public_id={public_id} origin={origin} month={month} usage={usage} />
      ) : (
        <QuotaCard site={ref} name={name} />
      )}
      <Tracker site={ref} month={month} />
      {sees && <PlanCard site={ref} />}
      {sees && <SiteInvoices site={ref} />}
    </Page>
  );
}

function Usage(props: {
  site: string;
  public_id: string;
  origin: string | undefined;
  month: string;
  usage: Read<SiteUsage>;
}) {
  const { site, public_id, origin, month, usage } = props;
  const current = month === '' || month === monthOf();
  return (
    <Show read={usage}>
      {(answer) =>
        current && answer.ledger.rows === '0' && answer.usage_row === null ? (
          <FirstEvent public_id={public_id} origin={origin} read={usage} />
        ) : (
          <>
            {current ? (
              <QuotaCard site={site} name={public_id} />
            ) : (
              <p className="muted">{t('of_month', { month: formatMonth(answer.year_month) })}</p>
            )}
            <Waterfall site={site} usage={answer} />
            <Explain site={site} usage={answer} current={current} />
            <Days site={site} month={month} />
            <Sides site={site} usage={answer} as_of_ms={usage.as_of_ms} />
          </>
        )
      }
    </Show>
  );
}

/** What is known of it without its figures; an admin who is no member finds it among all sites. */
function useSite(ref: string) {
  const viewer = useViewer();
  const named = (site: { id: string; public_id: string }) => site.id === ref || site.public_id === ref;
  const own = viewer.sites.find(named);
  const admin = has(viewer, 'platform-admin');
  const all = useRead('GET /api/admin/sites', { query: { limit: 200 } }, { enabled: admin });
  const whole = all.answer?.sites.find(named);
  const known = own ?? whole;
  return {
    name: known?.name ?? ref,
    public_id: known?.public_id ?? ref,
    closed: known?.status === 'closed',
    origin: whole?.origins[0],
  };
}
