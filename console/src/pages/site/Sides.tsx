// Usage as the ledger, the usage row and the fast counter have it, and what has been delivered of it.
import { Link } from 'wouter';
import { Count, Drift, Stat, Stats } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { formatCount } from '../../words/format.ts';
import { t } from '../../words/sites.ts';
import { rowsHref, type SiteUsage } from './Waterfall.tsx';

interface SidesProps {
  site: string;
  usage: SiteUsage;
  as_of_ms: number | undefined;
}

export function Sides({ site, usage, as_of_ms }: SidesProps) {
  const { ledger, usage_row, counter, events, outbox, year_month } = usage;
  const shared = { unit: t('events_unit'), as_of: as_of_ms };
  const rows = (verdict: string) => rowsHref(site, verdict, year_month);
  return (
    <Section title={t('sides')}>
      <Stats>
        <Stat
          {...shared}
          label={t('side_ledger')}
          value={<Count value={ledger.billable} />}
          href={rows('counted')}
          note={
            <>
              {t('side_ledger_note')}{' '}
              {ledger.overage !== '0' && (
                <Link href={rows('overage')}>{t('side_overage', { n: formatCount(ledger.overage) })}</Link>
              )}
            </>
          }
        />
        <Stat
          {...shared}
          label={t('side_row')}
          value={<Count value={usage_row?.event_count} />}
          tone={usage.drift === '0' ? 'plain' : 'bad'}
          note={
            <Compared
              value={usage_row?.event_count ?? '0'}
              ledger={ledger.billable}
              text={usage_row ? t('side_row_note') : `${t('side_row_none')} · ${t('side_row_note')}`}
            />
          }
        />
        <Stat
          {...shared}
          label={t('side_counter')}
          value={<Count value={counter?.used} />}
          note={
            counter ? (
              <Compared value={counter.used} ledger={ledger.billable} text={t('side_counter_note')} />
            ) : (
              `${t('side_counter_none')} · ${t('side_counter_note')}`
            )
          }
        />
        <Stat
          {...shared}
          label={t('side_delivered')}
          value={<Count value={events.delivered} />}
          href={rows('all')}
          note={t('side_delivered_note')}
        />
        <Stat
          {...shared}
          label={t('side_waiting')}
          value={<Count value={outbox.waiting} />}
          href={rows('waiting')}
        />
      </Stats>
    </Section>
  );
}

function Compared({ value, ledger, text }: { value: string; ledger: string; text: string }) {
  const difference = BigInt(value) - BigInt(ledger);
  return (
    <>
      {difference === 0n ? <>= {t('same')}</> : <Drift value={difference} />} · {text}
    </>
  );
}
