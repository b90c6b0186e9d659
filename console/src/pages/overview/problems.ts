// The answer to the page's question: what needs a person, the gravest first, each with the page that explains it.
import type { Overview } from '../../api/client.ts';
import { formatCount } from '../../words/format.ts';
import { type Key, t } from '../../words/overview.ts';
import { checksOf, type Finding, type Level } from './checks.ts';

const order: Record<Level, number> = { bad: 0, warn: 1, info: 2, good: 3 };

export function problemsOf(overview: Overview): Finding[] {
  return gravestFirst([
    ...driftsOf(overview),
    ...findingsOf(overview),
    ...checksOf(overview).filter(({ level }) => level === 'bad' || level === 'warn'),
    ...jobsOf(overview),
  ]);
}

export function gravestFirst(problems: Finding[]): Finding[] {
  return problems.toSorted((a, b) => order[a.level] - order[b.level]);
}

function driftsOf({ worst_sites, month, year_month }: Overview): Finding[] {
  const drifting = worst_sites.filter(({ drift }) => drift !== '0');
  const more = BigInt(month.drifting_sites) - BigInt(drifting.length);
  const named = drifting.map(({ public_id, name, drift }): Finding => {
    const n = `${formatCount(drift.replace('-', ''))} ${t('events')}`;
    return {
      ...{ id: `drift ${public_id}`, level: 'bad' },
      href: `/sites/${encodeURIComponent(public_id)}?month=${year_month}`,
      text: t(drift.startsWith('-') ? 'problem_drift_under' : 'problem_drift_over', { site: name, n }),
    };
  });
  if (more <= 0n) return named;
  return [
    ...named,
    { id: 'drifts', level: 'bad', href: '/sites?sort=-drift', text: t('problem_drift_more', { n: more }) },
  ];
}

function findingsOf({ findings }: Overview): Finding[] {
  return findings.map(({ finding_type, provider, severity, open }) => ({
    id: `finding ${finding_type} ${provider} ${severity}`,
    level: isGrave(severity) ? 'bad' : 'warn',
    href: findingsHref(finding_type),
    text: t('problem_finding', { n: Number(open), type: typeWords(finding_type) }),
  }));
}

function jobsOf({ jobs, checks }: Overview): Finding[] {
  const counted = [
    { n: jobs.dead, level: 'bad', status: 'DEAD', key: 'problem_dead' },
    { n: jobs.stuck, level: 'bad', status: 'STUCK', key: 'problem_stuck' },
    { n: jobs.failed, level: 'warn', status: 'FAILED', key: 'problem_failed' },
  ] as const;
  return [
    ...counted
      .filter(({ n }) => n !== '0')
      .map(({ n, level, status, key }) => ({
        ...{ id: `jobs ${status}`, level, href: `/jobs?status=${status}` },
        text: t(key, { n: Number(n) }),
      })),
    ...checks.heartbeats
      .filter(({ missed }) => missed)
      .map(({ job }): Finding => ({ id: `heart ${job}`, level: 'bad', text: t('problem_missed', { job }) })),
  ];
}

export const isGrave = (severity: string) => severity === 'ERROR' || severity === 'CRITICAL';

export const findingsHref = (type: string) => `/findings?${new URLSearchParams({ finding_type: type })}`;

const known = [
  ...([
    'missing_in_ledger',
    'missing_in_psp',
    'amount_mismatch',
    'currency_mismatch',
    'status_mismatch',
  ] as const),
  ...([
    'duplicate_payout',
    'paid_after_rejection',
    'failed_after_payment',
    'ledger_balance_mismatch',
  ] as const),
  ...(['payload_conflict', 'event_dead', 'unknown_transaction'] as const),
];

/** What a type means; its own name where we have no words for it. */
export function typeWords(type: string): string {
  const word = known.find((one) => one === type);
  return word ? t(`type_${word}` satisfies Key) : type;
}
