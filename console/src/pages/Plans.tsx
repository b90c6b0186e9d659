// Plans: what each site may use, and for platform admins how that is changed.
import type { ReactNode } from 'react';
import { type List, useList } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Page, Section } from '../parts/Page.tsx';
import { has, useViewer } from '../session/viewer.ts';
import { t } from '../words/plans.ts';
import { History } from './plans/History.tsx';
import { PlanDrawer } from './plans/PlanDrawer.tsx';
import { PlansTable } from './plans/PlansTable.tsx';
import { Tiers } from './plans/Tiers.tsx';
import { rowOf, type SiteRow, useOwnSites } from './sites/own.ts';
import '../styles/sites.css';

/** Each row also asks for its settlement. */
const rows_shown = 25;

export default function Plans() {
  return has(useViewer(), 'platform-admin') ? <EveryPlan /> : <OwnPlans />;
}

function EveryPlan() {
  const list = useList(
    'GET /api/admin/usage',
    { query: { limit: rows_shown } },
    { rows: ({ sites }) => sites.map(rowOf) },
  );
  const names = new Map(list.rows?.map(({ id, name }) => [id, name]));
  return (
    <PlansOf list={list}>
      <Section title={t('history')}>
        <History names={names} />
      </Section>
    </PlansOf>
  );
}

function OwnPlans() {
  const viewer = useViewer();
  const list = useOwnSites(
    viewer.sites.filter(({ id }) => has(viewer, 'billing:view', id)),
    undefined,
  );
  return <PlansOf list={list} />;
}

function PlansOf({ list, children }: { list: List<SiteRow>; children?: ReactNode }) {
  const [{ id, sort }, setView] = useView({ id: '', sort: 'site' });
  const chosen = list.rows?.find((row) => row.public_id === id || row.id === id);
  return (
    <Page title={t('title')} as_of_ms={list.as_of_ms}>
      <p className="muted">{t('intro')}</p>
      <Section title={t('sites_by_plan')}>
        <PlansTable
          {...{ list, sort }}
          onSort={(next) => setView({ sort: next }, true)}
          open={(site) => setView({ id: site })}
        />
      </Section>
      {list.rows && list.rows.length > 0 && (
        <Section title={t('tiers')}>
          <Tiers rows={list.rows} />
        </Section>
      )}
      {children}
      {id && <PlanDrawer site={id} row={chosen} onClose={() => setView({ id: '' })} />}
    </Page>
  );
}
