// Open findings by type, and withdrawals by state: how many, how much, how old, and where each is worked on.
import type { Overview } from '../../api/client.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Amount, Badge, Count } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { listOf } from '../../parts/rows.ts';
import { When } from '../../parts/When.tsx';
import { t } from '../../words/overview.ts';
import { findingsHref, isGrave, typeWords } from './problems.ts';
import { To } from './reach.tsx';

type FindingRow = Overview['findings'][number];
type WithdrawalRow = Overview['withdrawals'][number];

export function Findings({ overview }: { overview: Overview }) {
  const columns: Column<FindingRow>[] = [
    {
      ...{ id: 'type', header: t('finding_type'), names: true, sort: (row) => row.finding_type },
      cell: ({ finding_type, provider }) => (
        <>
          <To href={findingsHref(finding_type)}>
            <code>{finding_type}</code>
          </To>
          <div className="muted small">
            {typeWords(finding_type) !== finding_type && `${typeWords(finding_type)} · `}
            {provider}
          </div>
        </>
      ),
    },
    {
      ...{ id: 'severity', header: t('severity'), sort: (row) => row.severity },
      cell: ({ severity }) => <Badge tone={isGrave(severity) ? 'bad' : 'warn'}>{severity}</Badge>,
    },
    {
      ...{
        id: 'open',
        header: t('open'),
        unit: t('findings_unit'),
        align: 'end',
        sort: (row) => BigInt(row.open),
      },
      cell: ({ open }) => <Count value={open} />,
    },
    {
      ...{ id: 'since', header: t('since'), sort: (row) => row.oldest_at },
      cell: ({ oldest_at }) => <When at={oldest_at} relative />,
    },
  ];
  return (
    <Section title={t('findings')}>
      <DataTable
        caption={t('findings_caption')}
        columns={columns}
        list={listOf(overview.findings)}
        rowKey={(row) => `${row.finding_type} ${row.provider} ${row.severity}`}
        rowTone={({ severity }) => (isGrave(severity) ? 'bad' : 'warn')}
        nothing={t('findings_none')}
      />
    </Section>
  );
}

const states = ['requested', 'approved', 'payout_pending', 'payout_failed', 'unknown'] as const;

function stateWords(state: string): string {
  const known = states.find((one) => one === state);
  return known ? t(`state_${known}`) : state;
}

export function Withdrawals({ overview }: { overview: Overview }) {
  const columns: Column<WithdrawalRow>[] = [
    {
      ...{ id: 'state', header: t('state'), names: true, sort: (row) => row.state },
      cell: ({ state }) => (
        <To href={`/finance/withdrawals?${new URLSearchParams({ state })}`}>{stateWords(state)}</To>
      ),
    },
    {
      ...{
        id: 'count',
        header: t('count'),
        unit: t('withdrawals_unit'),
        align: 'end',
        sort: (row) => BigInt(row.count),
      },
      cell: ({ count }) => <Count value={count} />,
    },
    {
      ...{ id: 'sum', header: t('sum'), align: 'end', sort: (row) => BigInt(row.amount_minor) },
      cell: ({ amount_minor, currency, exponent }) => (
        <Amount minor={amount_minor} currency={currency} exponent={exponent} />
      ),
    },
    {
      ...{ id: 'since', header: t('since'), sort: (row) => row.oldest_at },
      cell: ({ oldest_at }) => <When at={oldest_at} relative />,
    },
  ];
  return (
    <Section title={t('withdrawals')}>
      <DataTable
        caption={t('withdrawals_caption')}
        columns={columns}
        list={listOf(overview.withdrawals)}
        rowKey={(row) => `${row.state} ${row.currency}`}
        rowTone={({ state }) =>
          state === 'unknown' ? 'bad' : state === 'payout_failed' ? 'warn' : undefined
        }
        nothing={t('withdrawals_none')}
      />
    </Section>
  );
}
