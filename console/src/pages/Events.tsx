// Events: the ledger rows of a site by verdict and day, and every decision taken on one of them.
import { Link } from 'wouter';
import { useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Field } from '../parts/Field.tsx';
import { Page } from '../parts/Page.tsx';
import { Nothing, Show } from '../parts/states.tsx';
import { has, useViewer } from '../session/viewer.ts';
import { t } from '../words/events.ts';
import { Receipt } from './events/Receipt.tsx';
import { Rows } from './events/Rows.tsx';
import '../styles/events.css';

export interface KnownSite {
  id: string;
  public_id: string;
  name: string;
}

export default function Events() {
  const viewer = useViewer();
  const admin = has(viewer, 'platform-admin');
  const all = useRead(
    'GET /api/admin/sites',
    { query: { limit: 200 } },
    { enabled: admin && viewer.sites.length === 0 },
  );
  if (admin && viewer.sites.length === 0)
    return <Show read={all}>{({ sites }) => <EventsOf sites={sites} />}</Show>;
  return <EventsOf sites={viewer.sites} />;
}

function EventsOf({ sites }: { sites: readonly KnownSite[] }) {
  const viewer = useViewer();
  const [view, setView] = useView({ site: '', month: '', verdict: 'all', day: '', id: '' });
  const [only] = sites;
  const site = view.site || (only && sites.length === 1 ? only.public_id : '');
  const sees = has(viewer, 'platform-admin') || has(viewer, 'billing:view', site);
  const anywhere = has(viewer, 'platform-admin') || has(viewer, 'billing:view');
  return (
    <Page
      title={t('title')}
      {...(site && { actions: <Link href={`/sites/${encodeURIComponent(site)}`}>{t('to_site')}</Link> })}
    >
      <form
        className="filters"
        onSubmit={(event) => {
          event.preventDefault();
          const id = String(new FormData(event.currentTarget).get('id') ?? '').trim();
          if (id) setView({ id });
        }}
      >
        <Field label={t('event_id')}>
          {(field) => (
            <input name="id" className="event-id" autoComplete="off" spellCheck={false} {...field} />
          )}
        </Field>
        <div className="actions">
          <button type="submit">{t('look_up')}</button>
        </div>
      </form>
      {anywhere && (site === '' || sees) ? (
        <Rows {...{ sites, site, view, setView }} />
      ) : (
        <p className="muted">{t('only_ids')}</p>
      )}
      {sites.length === 0 && <Nothing>{t('no_site')}</Nothing>}
      {view.id && (
        <Receipt
          id={view.id}
          refs={site ? [site] : sites.map(({ public_id }) => public_id)}
          onClose={() => setView({ id: '' })}
        />
      )}
    </Page>
  );
}
