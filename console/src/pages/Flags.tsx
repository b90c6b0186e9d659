// Feature flags: what is on for whom, and in a drawer the tenants with a value of their own, the history and the changes.
import type { Flag } from '../api/client.ts';
import { rowsOf, useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { type Column, DataTable } from '../parts/DataTable.tsx';
import { Badge, Count } from '../parts/numbers.tsx';
import { Page } from '../parts/Page.tsx';
import { When } from '../parts/When.tsx';
import { t } from '../words/flags.ts';
import { FlagDrawer } from './flags/FlagDrawer.tsx';
import { stateOf, toneOf } from './flags/state.ts';
import '../styles/jobs.css';

export default function Flags() {
  const [view, setView] = useView({ id: '', sort: '' });
  const read = useRead('GET /api/admin/flags', {});
  return (
    <Page title={t('title')} as_of_ms={read.as_of_ms}>
      <DataTable
        caption={t('caption')}
        columns={columns((flag) => setView({ id: flag }))}
        list={rowsOf(read, ({ flags }) => flags)}
        rowKey={({ flag }) => flag}
        nothing={t('nothing')}
        csv="flags"
        sort={view.sort}
        onSort={(sort) => setView({ sort }, true)}
      />
      {view.id && <FlagDrawer key={view.id} name={view.id} onClose={() => setView({ id: '' })} />}
    </Page>
  );
}

function columns(open: (flag: string) => void): Column<Flag>[] {
  return [
    {
      ...{ id: 'flag', header: t('flag'), names: true, sort: ({ flag }) => flag, text: ({ flag }) => flag },
      cell: ({ flag }) => (
        <button type="button" className="link" onClick={() => open(flag)} aria-label={t('details', { flag })}>
          <code>{flag}</code>
        </button>
      ),
    },
    {
      ...{ id: 'state', header: t('state'), sort: stateOf, text: stateOf },
      cell: (flag) => <Badge tone={toneOf(flag)}>{stateOf(flag)}</Badge>,
    },
    {
      ...{ id: 'overrides', header: t('overrides'), unit: t('tenants'), align: 'end' },
      sort: ({ overrides }) => Object.keys(overrides).length,
      cell: ({ overrides }) => <Count value={Object.keys(overrides).length} />,
      text: ({ overrides }) => JSON.stringify(overrides),
    },
    {
      ...{ id: 'description', header: t('description') },
      ...{ cell: ({ description }) => <span lang="en">{description}</span> },
      text: ({ description }) => description,
    },
    {
      ...{ id: 'last', header: t('last'), text: ({ history }) => history[0]?.at },
      sort: ({ history }) => history[0]?.at ?? null,
      cell: ({ history }) =>
        history[0] ? <When at={history[0].at} relative /> : <span className="muted">{t('never')}</span>,
    },
  ];
}
