// The month of a site by UTC day and verdict; a day leads to its rows.
import { Link } from 'wouter';
import { useRead } from '../../api/query.ts';
import { StackedBars } from '../../parts/Chart.tsx';
import { Section } from '../../parts/Page.tsx';
import { Show } from '../../parts/states.tsx';
import { AsOf } from '../../parts/When.tsx';
import { formatDay } from '../../words/format.ts';
import { t } from '../../words/sites.ts';

export function Days({ site, month }: { site: string; month: string }) {
  const read = useRead(
    'GET /api/sites/{ref}/days',
    { path: { ref: site }, query: { month } },
    { live: true },
  );
  return (
    <Section title={t('days')}>
      <Show read={read}>
        {({ days, as_of }) => (
          <>
            <StackedBars
              title={t('days_title')}
              unit={t('events_unit')}
              series={[t('accepted'), t('overage'), t('rejected'), t('unbilled_short')]}
              columns={days.map(({ day, accepted, overage, rejected, unbilled }) => ({
                label: day.slice(8).replace(/^0/, ''),
                values: [accepted, overage, rejected, unbilled],
              }))}
            />
            <details>
              <summary>{t('day_link')}</summary>
              <ul className="day-links">
                {days.map(({ day }) => (
                  <li key={day}>
                    <Link href={`/events?${new URLSearchParams({ site, day })}`}>{formatDay(day)}</Link>
                  </li>
                ))}
              </ul>
            </details>
            <AsOf at={as_of} />
          </>
        )}
      </Show>
    </Section>
  );
}
