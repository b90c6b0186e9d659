// The open month as a draft: what is in the ledger so far, and whether the month before waits for its freeze.
import { Link } from 'wouter';
import type { Answer } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Badge, Count, Drift, Stat, Stats } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { Show } from '../../parts/states.tsx';
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/invoices.ts';
import { monthAfter, openMonth } from './figures.ts';
import type { NamedSite } from './sites.tsx';

type Invoice = Answer<'GET /api/sites/{ref}/invoices'>['invoices'][number];

interface DraftProps {
  ref_: string;
  /** The open month unless said. */
  month?: string;
  site?: NamedSite | undefined;
  /** The newest invoices, where they are known. */
  newest?: readonly Invoice[] | undefined;
}

export function Draft({ ref_: ref, month = openMonth(), site, newest }: DraftProps) {
  const usage = useRead('GET /api/sites/{ref}/usage', { path: { ref }, query: { month } }, { live: true });
  const last = monthAfter(month, -1);
  const waits = newest && site && site.created_at.slice(0, 7) <= last && newest[0]?.year_month !== last;
  return (
    <Section
      title={t(month < openMonth() ? 'draft_ended' : 'draft_title', { month: formatMonth(month) })}
      actions={<Badge>{t('draft')}</Badge>}
    >
      <p className="muted">{t('draft_text')}</p>
      {waits && <p className="state">{t('draft_waiting', { month: formatMonth(last) })}</p>}
      <Show read={usage}>
        {({ ledger, drift, limit }) => (
          <Stats>
            <Stat
              label={t('draft_ledger')}
              value={<Count value={ledger.billable} />}
              unit={t('unit')}
              as_of={usage.as_of_ms}
              href={`/sites/${ref}`}
            />
            <Stat label={t('overage')} value={<Count value={ledger.overage} />} unit={t('unit')} />
            <Stat label={t('draft_limit')} value={<Count value={limit} />} unit={t('unit')} />
            <Stat
              label={t('draft_drift')}
              value={<Drift value={drift} />}
              tone={drift === '0' ? 'good' : 'warn'}
              note={<Link href={`/sites/${ref}`}>{t('to_usage')}</Link>}
            />
          </Stats>
        )}
      </Show>
    </Section>
  );
}
