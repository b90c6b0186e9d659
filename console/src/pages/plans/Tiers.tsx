// The plans in use: how many sites have each, what they may use together, and how many are over their limit.
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Count } from '../../parts/numbers.tsx';
import { listOf } from '../../parts/rows.ts';
import { t } from '../../words/plans.ts';
import type { SiteRow } from '../sites/own.ts';

interface Tier {
  name: string;
  sites: number;
  limit: bigint;
  used: bigint;
  over: number;
}

export function Tiers({ rows }: { rows: readonly SiteRow[] }) {
  const columns: Column<Tier>[] = [
    { id: 'tier', header: t('tier'), names: true, cell: ({ name }) => name, sort: ({ name }) => name },
    figure('sites', t('sites')),
    figure('limit', t('limit'), t('events_unit')),
    figure('used', t('used'), t('events_unit')),
    figure('over', t('over_today')),
  ];
  return (
    <DataTable
      caption={t('tiers_caption')}
      columns={columns}
      list={listOf(tiersOf(rows))}
      rowKey={({ name }) => name}
      rowTone={({ over }) => (over > 0 ? 'warn' : undefined)}
    />
  );
}

/** Without a unit the header says what is counted. */
function figure(id: 'sites' | 'limit' | 'used' | 'over', header: string, unit?: string): Column<Tier> {
  return {
    ...{ id, header, ...(unit && { unit }), align: 'end', sort: (row) => row[id] },
    cell: (row) => <Count value={row[id]} />,
  };
}

function tiersOf(rows: readonly SiteRow[]): Tier[] {
  const tiers = new Map<string, Tier>();
  for (const { plan, limit = '0', used = '0' } of rows) {
    if (!plan) continue;
    const name = plan.plan_tier;
    const known = tiers.get(name) ?? { name, sites: 0, limit: 0n, used: 0n, over: 0 };
    tiers.set(name, {
      name,
      sites: known.sites + 1,
      limit: known.limit + BigInt(limit),
      used: known.used + BigInt(used),
      over: known.over + Number(BigInt(used) > BigInt(limit)),
    });
  }
  return [...tiers.values()].sort((a, b) => a.name.localeCompare(b.name));
}
