// Sites with the plan in force: limit, what happens beyond it, enforcement and settlement.
import { Link } from 'wouter';
import { type List, useRead } from '../../api/query.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge, Count } from '../../parts/numbers.tsx';
import { has, useViewer } from '../../session/viewer.ts';
import { formatCount, formatMonth, formatPercent } from '../../words/format.ts';
import { t } from '../../words/plans.ts';
import { capOf } from '../site/PlanCard.tsx';
import type { SiteRow } from '../sites/own.ts';

interface PlansTableProps {
  list: List<SiteRow>;
  sort: string;
  onSort: (sort: string) => void;
  open: (site: string) => void;
}

export function PlansTable({ list, sort, onSort, open }: PlansTableProps) {
  const admin = has(useViewer(), 'platform-admin');
  const columns: Column<SiteRow>[] = [
    {
      ...{
        id: 'site',
        header: t('site'),
        names: true,
        sort: (row) => row.name,
        text: (row) => row.public_id,
      },
      cell: ({ name, public_id }) => <Link href={`/sites/${encodeURIComponent(public_id)}`}>{name}</Link>,
    },
    {
      ...{ id: 'tier', header: t('tier'), sort: (row) => row.plan?.plan_tier ?? null },
      ...{ cell: (row) => row.plan?.plan_tier ?? '–', text: (row) => row.plan?.plan_tier },
    },
    {
      ...{ id: 'limit', header: t('limit'), unit: t('events_unit'), align: 'end', text: (row) => row.limit },
      cell: (row) => <Limit row={row} />,
      sort: ({ limit }) => (limit === undefined ? null : BigInt(limit)),
    },
    {
      ...{ id: 'used', header: t('used'), unit: t('events_unit'), text: (row) => row.used },
      cell: ({ used, limit }) =>
        used !== undefined && limit !== undefined && <Used used={used} limit={limit} />,
      sort: ({ used, limit }) => (used && limit && limit !== '0' ? Number(used) / Number(limit) : null),
    },
    {
      ...{ id: 'kind', header: t('kind'), cell: (row) => kindOf(row) },
      text: ({ plan }) => plan && `${plan.soft_limit_enabled ? 'soft' : 'hard'} ${plan.hard_cap_multiplier}`,
    },
    {
      ...{ id: 'policy', header: t('policy'), text: (row) => row.plan?.billing_policy },
      cell: ({ plan }) => plan && t(plan.billing_policy === 'all' ? 'policy_all' : 'policy_by_kind'),
    },
    {
      ...{ id: 'enforcement', header: t('enforcement'), text: (row) => row.plan?.billing_enforcement },
      cell: ({ plan }) =>
        plan && (
          <Badge tone={plan.billing_enforcement ? 'good' : 'warn'}>
            {t(plan.billing_enforcement ? 'on' : 'off')}
          </Badge>
        ),
    },
    ...(admin ? [settlementColumn()] : []),
    {
      ...{ id: 'details', header: t('details') },
      cell: ({ name, public_id }) => (
        <button type="button" onClick={() => open(public_id)}>
          {t('details')} <span className="hidden">{name}</span>
        </button>
      ),
    },
  ];
  return (
    <DataTable
      caption={t('caption')}
      {...{ columns, list, sort, onSort }}
      rowKey={(row) => row.id}
      nothing={t('nothing')}
      csv="plans"
    />
  );
}

function Used({ used, limit }: { used: string; limit: string }) {
  const share = limit === '0' ? undefined : Number(used) / Number(limit);
  return (
    <>
      <Count value={used} />
      {share !== undefined && (
        <Badge tone={share > 1 ? 'bad' : share === 1 ? 'warn' : 'plain'}>{formatPercent(share)}</Badge>
      )}
    </>
  );
}

/** Where the limit in force is not the plan's, an unblock runs. */
function Limit({ row: { plan, limit } }: { row: SiteRow }) {
  return (
    <>
      <Count value={limit} />
      {plan && limit !== undefined && plan.monthly_limit !== limit && (
        <div>
          <Badge tone="info">{t('unblocked')}</Badge>
        </div>
      )}
    </>
  );
}

export function kindOf({ plan, limit }: SiteRow): string {
  if (!plan || limit === undefined) return '–';
  if (plan.billing_enforcement === false) return t('kind_off');
  const soft = plan.soft_limit_enabled || plan.monthly_limit !== limit;
  return soft
    ? t('kind_soft', {
        cap: formatCount(capOf(limit, true, plan.hard_cap_multiplier)),
        multiplier: formatCount(plan.hard_cap_multiplier),
      })
    : t('kind_hard');
}

const settlementColumn = (): Column<SiteRow> => ({
  ...{ id: 'settlement', header: t('settlement') },
  cell: (row) => <SettlementOf site={row.id} />,
});

export function SettlementOf({ site }: { site: string }) {
  const { answer, error } = useRead('GET /api/admin/sites/{ref}/settlement', { path: { ref: site } });
  if (!answer) return <span className="muted">{error ? t('settlement_failed') : '…'}</span>;
  const { currency, overage_price_per_1k: price, from } = answer.settlement;
  if (currency === null || price === null) return <span className="muted">{t('settlement_none')}</span>;
  // 0.400000 is 0.40: trailing zeros beyond the second digit say nothing.
  const shown = price.replace(/(\.\d\d\d*?)0+$/, '$1');
  return <>{t('settlement_of', { price: shown, currency, month: from ? formatMonth(from) : '–' })}</>;
}
