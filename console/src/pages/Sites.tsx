// Sites: every site, or those of the member, with their usage of a month; the largest drift first.
import { useList } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Page } from '../parts/Page.tsx';
import { has, useViewer } from '../session/viewer.ts';
import { t } from '../words/sites.ts';
import { Code } from './site/Code.tsx';
import { MonthSelect } from './sites/months.tsx';
import { own_sites_max, rowOf, useOwnSites } from './sites/own.ts';
import { SitesTable } from './sites/SitesTable.tsx';

export default function Sites() {
  return has(useViewer(), 'platform-admin') ? <EverySite /> : <OwnSites />;
}

function useSitesView() {
  return useView({ month: '', sort: '-drift' });
}

function EverySite() {
  const [{ month, sort }, setView] = useSitesView();
  const list = useList(
    'GET /api/admin/usage',
    { query: { month, limit: 200 } },
    { rows: ({ sites }) => sites.map(rowOf) },
  );
  const nothing = (
    <>
      <p>{t('nothing_admin')}</p>
      <Code text={'npx kernel site create --name "My site" --origin https://my.example --limit 1000'} />
    </>
  );
  return (
    <Page title={t('title')} as_of_ms={list.as_of_ms}>
      <p className="muted">{t('intro_admin')}</p>
      <div className="filters">
        <MonthSelect value={month} onChange={(chosen) => setView({ month: chosen })} />
      </div>
      <SitesTable
        {...{ list, month, sort, nothing }}
        onSort={(next) => setView({ sort: next }, true)}
        last
        csv={`sites${month && `-${month}`}`}
      />
    </Page>
  );
}

function OwnSites() {
  const { sites } = useViewer();
  const [{ month, sort }, setView] = useSitesView();
  const list = useOwnSites(sites, month || undefined, true);
  return (
    <Page title={t('title')} as_of_ms={list.as_of_ms}>
      <p className="muted">
        {t('intro_member')} {sites.length > own_sites_max && t('only_first', { n: own_sites_max })}
      </p>
      <div className="filters">
        <MonthSelect value={month} onChange={(chosen) => setView({ month: chosen })} />
      </div>
      <SitesTable
        {...{ list, month, sort }}
        nothing={t('nothing_member')}
        onSort={(next) => setView({ sort: next }, true)}
        csv={`sites${month && `-${month}`}`}
      />
    </Page>
  );
}
