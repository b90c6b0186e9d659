// What trackers say of their own work: loss, retries, clocks and versions.
import type { TrackerHealth } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Count, Stat, Stats } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { Nothing, Show } from '../../parts/states.tsx';
import { formatCount, formatPercent } from '../../words/format.ts';
import { t } from '../../words/sites.ts';

const loss_warn = 0.01;

export function Tracker({ site, month }: { site: string; month: string }) {
  const read = useRead(
    'GET /api/sites/{ref}/tracker',
    { path: { ref: site }, query: { month } },
    { live: true },
  );
  return (
    <Section title={t('tracker')}>
      <Show read={read}>
        {(health) =>
          health.requests.batches === '0' ? (
            <Nothing>{t('tracker_none')}</Nothing>
          ) : (
            <Health health={health} as_of_ms={read.as_of_ms} />
          )
        }
      </Show>
    </Section>
  );
}

function Health({ health, as_of_ms }: { health: TrackerHealth; as_of_ms: number | undefined }) {
  const { loss, requests, clocks, sdks } = health;
  const { lost, arrived, numbered } = loss;
  const reported = Object.entries(loss.reported);
  const counts = { lost: formatCount(lost), arrived: formatCount(arrived), numbered: formatCount(numbered) };
  const retries = { retried: formatCount(requests.retried), batches: formatCount(requests.batches) };
  const requestCount = (value: string) => <Count value={value} unit={t('requests_unit')} />;
  return (
    <>
      <Stats>
        <Stat
          label={t('loss_rate')}
          value={formatPercent(Number(loss.rate), 2)}
          tone={Number(loss.rate) > loss_warn ? 'warn' : 'plain'}
          as_of={as_of_ms}
          note={t('loss_note', counts)}
        />
        <Stat
          label={t('retry_rate')}
          value={formatPercent(Number(requests.retry_rate), 1)}
          as_of={as_of_ms}
          note={t('retry_note', retries)}
        />
      </Stats>
      <dl className="pairs card tracker">
        <dt>{t('missing')}</dt>
        <dd>
          <Count value={loss.missing} unit={t('events_unit')} />
        </dd>
        <dt>{t('reported')}</dt>
        <dd>
          {reported.length === 0 && t('reported_none')}
          {reported.map(([reason, count]) => (
            <div key={reason}>
              <code>{reason}</code>: <Count value={count} unit={t('events_unit')} />
            </div>
          ))}
        </dd>
        <dt>{t('clocks')}</dt>
        <dd>
          <div>
            {t('clock_good')}: {requestCount(clocks.within_a_minute)}
          </div>
          <div>
            {t('clock_minutes')}: {requestCount(clocks.minutes_off)}
          </div>
          <div>
            {t('clock_hours')}: {requestCount(clocks.hours_off)}
          </div>
        </dd>
        <dt>{t('versions')}</dt>
        <dd>
          {sdks.map(({ sdk, batches }) => (
            <div key={sdk}>
              <code>{sdk}</code>: {requestCount(batches)}
            </div>
          ))}
        </dd>
      </dl>
      <p className="muted small">{t('tracker_note')}</p>
    </>
  );
}
