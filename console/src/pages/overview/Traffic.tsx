// What arrived by hour and verdict, how long its delivery took, and what never became usage.
import type { Overview } from '../../api/client.ts';
import { StackedBars } from '../../parts/Chart.tsx';
import { Count, Stat, Stats } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { languageTag } from '../../shell/settings.ts';
import { formatCount, formatPercent, formatTime } from '../../words/format.ts';
import { t } from '../../words/overview.ts';

export function Traffic({ overview }: { overview: Overview }) {
  const { hours } = overview;
  return (
    <Section title={t('traffic')}>
      <StackedBars
        title={t('hours_title')}
        unit={t('events')}
        series={[t('accepted'), t('overage'), t('rejected')]}
        columns={hours.map(({ hour, accepted, overage, rejected }) => ({
          label: formatTime(hour, false).replace(/ .*/, ''),
          values: [accepted, overage, rejected],
        }))}
      />
      <div className="columns">
        <Lag overview={overview} />
        <Mix overview={overview} />
      </div>
    </Section>
  );
}

function Lag({ overview: { lag, as_of } }: { overview: Overview }) {
  return (
    <div>
      <h3>{t('lag')}</h3>
      {lag.p50_ms === null ? (
        <p className="state">{t('lag_none')}</p>
      ) : (
        <>
          <Stats>
            <Stat label={t('lag_p50')} value={formatMs(lag.p50_ms)} as_of={as_of} />
            <Stat label={t('lag_p95')} value={formatMs(lag.p95_ms)} as_of={as_of} />
            <Stat label={t('lag_p99')} value={formatMs(lag.p99_ms)} as_of={as_of} />
          </Stats>
          <p className="muted small">{t('lag_of', { n: formatCount(lag.deliveries) })}</p>
        </>
      )}
    </div>
  );
}

const outcome_names = [
  'duplicate',
  'rejected_quota',
  'conflict',
  'invalid',
  'rate_limited',
  'degraded',
] as const;

function Mix({ overview: { last_24h, outcomes } }: { overview: Overview }) {
  const { accepted, overage, rejected } = last_24h;
  const all = BigInt(accepted) + BigInt(overage) + BigInt(rejected);
  const share = (part: string) => (all === 0n ? '' : formatPercent(Number(part) / Number(all), 1));
  const verdicts = [
    { name: t('accepted'), count: accepted },
    { name: t('overage'), count: overage },
    { name: t('rejected'), count: rejected },
  ];
  return (
    <div>
      <h3>{t('verdicts')}</h3>
      <div className="card">
        <h4>{t('verdicts_24h')}</h4>
        <dl className="pairs">
          {verdicts.map(({ name, count }) => (
            <div key={name} className="pair">
              <dt>{name}</dt>
              <dd>
                <Count value={count} unit={t('events')} /> <span className="muted">{share(count)}</span>
              </dd>
            </div>
          ))}
        </dl>
        <h4>{t('verdicts_ever')}</h4>
        {outcomes === null ? (
          <p>{t('outcomes_away')}</p>
        ) : (
          <dl className="pairs">
            {outcome_names.map((name) => (
              <div key={name} className="pair">
                <dt>{t(`outcome_${name}`)}</dt>
                <dd>
                  <Count value={outcomes[name] ?? '0'} />
                </dd>
              </div>
            ))}
          </dl>
        )}
      </div>
    </div>
  );
}

/** "191ms", "1.2s" */
function formatMs(value: string | null): string {
  if (value === null) return '–';
  const ms = Number(value);
  const [number, unit] = ms < 1_000 ? [ms, 'millisecond'] : [ms / 1_000, 'second'];
  return new Intl.NumberFormat(languageTag(), {
    ...{ style: 'unit', unit, unitDisplay: 'narrow', maximumFractionDigits: 1 },
  }).format(number);
}
