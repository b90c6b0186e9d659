// The overview of the whole kernel, for finance and platform admins; live.
import type { Overview } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Count, Drift, Stat, Stats } from '../../parts/numbers.tsx';
import { Page } from '../../parts/Page.tsx';
import { Show } from '../../parts/states.tsx';
import { has, useViewer } from '../../session/viewer.ts';
import { formatCount, formatMonth, formatRelative } from '../../words/format.ts';
import { t } from '../../words/overview.ts';
import { monthOf } from '../sites/months.tsx';
import { Checks } from './Checks.tsx';
import { FrozenOfAll } from './Frozen.tsx';
import { Jobs } from './Jobs.tsx';
import { Findings, Withdrawals } from './Money.tsx';
import { problemsOf } from './problems.ts';
import { useReach } from './reach.tsx';
import { Traffic } from './Traffic.tsx';
import { Verdict } from './Verdict.tsx';
import { WorstSites } from './WorstSites.tsx';

export function Kernel() {
  const read = useRead('GET /api/admin/overview', {}, { live: true });
  const admin = has(useViewer(), 'platform-admin');
  return (
    <Page title={t('title')} as_of_ms={read.as_of_ms}>
      <Show read={read}>
        {({ overview }) => (
          <>
            <Verdict
              problems={problemsOf(overview)}
              well={t('all_well')}
              {...(admin && { proven: monthOf(-1) })}
            />
            <Figures overview={overview} />
            <div className="columns overview-columns">
              <Findings overview={overview} />
              <Withdrawals overview={overview} />
            </div>
            <WorstSites overview={overview} />
            <Traffic overview={overview} />
            <Jobs overview={overview} />
            <Checks overview={overview} />
            {admin && <FrozenOfAll month={monthOf(-1)} />}
          </>
        )}
      </Show>
    </Page>
  );
}

function Figures({ overview }: { overview: Overview }) {
  const to = useReach();
  const { as_of, year_month, last_24h, month, findings, withdrawals } = overview;
  const named = { month: formatMonth(year_month) };
  const events = { unit: t('events'), as_of };
  const admitted = BigInt(last_24h.accepted) + BigInt(last_24h.overage);
  const open = summed(findings.map((one) => one.open));
  const oldest = findings.map(({ oldest_at }) => oldest_at).sort()[0];
  const waiting = summed(withdrawals.map(({ count }) => count));
  const toReview = summed(withdrawals.filter(({ state }) => state === 'requested').map(({ count }) => count));
  return (
    <Stats>
      <Stat
        {...{ ...events, ...to('/events'), label: t('ingested'), value: <Count value={admitted} /> }}
        note={t('ingested_note', {
          overage: formatCount(last_24h.overage),
          rejected: formatCount(last_24h.rejected),
        })}
      />
      <Stat
        {...events}
        {...to('/sites')}
        label={t('in_ledger', named)}
        value={<Count value={month.ledger} />}
      />
      <Stat
        {...events}
        {...to('/sites')}
        label={t('usage_rows', named)}
        value={<Count value={month.usage} />}
      />
      <Stat
        {...{ ...events, ...to('/sites?sort=-drift'), label: t('drift', named) }}
        value={<Drift value={month.drift} />}
        tone={month.drifting_sites === '0' ? 'good' : 'bad'}
        note={t('drift_note', { n: Number(month.drifting_sites) })}
      />
      <Stat
        {...{ as_of, unit: t('findings_unit'), ...to('/findings'), label: t('open_findings') }}
        value={<Count value={open} />}
        tone={open === 0n ? 'good' : findings.some(({ severity }) => severity !== 'WARN') ? 'bad' : 'warn'}
        note={oldest ? t('oldest', { age: formatRelative(oldest) }) : t('none_open')}
      />
      <Stat
        {...{
          as_of,
          unit: t('withdrawals_unit'),
          ...to('/finance/withdrawals'),
          label: t('withdrawals_waiting'),
        }}
        value={<Count value={waiting} />}
        note={t('withdrawals_note', { n: toReview })}
      />
    </Stats>
  );
}

const summed = (counts: string[]) => counts.reduce((sum, count) => sum + BigInt(count), 0n);
