// The overview of a member: are the counts of my sites right?
import { useState } from 'react';
import { Page, Section } from '../../parts/Page.tsx';
import { has, useViewer } from '../../session/viewer.ts';
import { formatCount, formatPercent } from '../../words/format.ts';
import { t } from '../../words/overview.ts';
import { monthOf } from '../sites/months.tsx';
import { type SiteRow, useOwnSites } from '../sites/own.ts';
import { SitesTable } from '../sites/SitesTable.tsx';
import type { Finding } from './checks.ts';
import { Frozen } from './Frozen.tsx';
import { gravestFirst } from './problems.ts';
import { Verdict } from './Verdict.tsx';

export function Own() {
  const viewer = useViewer();
  const [sort, setSort] = useState('-drift');
  const list = useOwnSites(viewer.sites, undefined, true);
  const month = monthOf(-1);
  const before = useOwnSites(
    viewer.sites.filter(({ id }) => has(viewer, 'billing:view', id)),
    month,
  );
  const proven = (before.rows ?? []).filter(({ ledger }) => ledger !== undefined && ledger !== '0');
  return (
    <Page title={t('title')} as_of_ms={list.as_of_ms}>
      {list.rows && list.rows.length > 0 && (
        <Verdict
          problems={gravestFirst(list.rows.flatMap(problemsOf))}
          well={t('all_well_own')}
          {...(proven.length > 0 && { proven: month })}
        />
      )}
      <Section title={t('own_sites')}>
        <SitesTable list={list} month="" sort={sort} onSort={setSort} nothing={t('own_none')} />
      </Section>
      {proven.length > 0 && (
        <Frozen
          month={month}
          sites={proven.map(({ public_id, name, ledger }) => ({ public_id, name, ledger }))}
        />
      )}
    </Page>
  );
}

function problemsOf({ public_id, name: site, drift, used, limit, rejected }: SiteRow): Finding[] {
  const href = `/sites/${encodeURIComponent(public_id)}`;
  const problems: Finding[] = [];
  if (drift !== undefined && drift !== '0')
    problems.push({
      ...{ id: `drift ${public_id}`, level: 'bad', href },
      text: t(drift.startsWith('-') ? 'problem_drift_under' : 'problem_drift_over', {
        ...{ site, n: `${formatCount(drift.replace('-', ''))} ${t('events')}` },
      }),
    });
  if (used === undefined || limit === undefined || BigInt(used) < BigInt(limit)) return problems;
  if (rejected !== undefined && rejected !== '0')
    problems.push({ id: `full ${public_id}`, level: 'bad', href, text: t('problem_exhausted', { site }) });
  else if (limit !== '0' && BigInt(used) > BigInt(limit))
    problems.push({
      ...{ id: `over ${public_id}`, level: 'warn', href },
      text: t('problem_overage', { site, percent: formatPercent(Number(used) / Number(limit)) }),
    });
  return problems;
}
