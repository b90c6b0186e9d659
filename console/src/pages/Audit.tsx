// The audit log: who did what to what, newest first, with exact filters, pages and a CSV of the filter.
import { Link } from 'wouter';
import type { AuditEntry } from '../api/client.ts';
import { useList } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Id } from '../parts/Copy.tsx';
import { type Column, DataTable } from '../parts/DataTable.tsx';
import { Field, Filters } from '../parts/Field.tsx';
import { Badge } from '../parts/numbers.tsx';
import { Page } from '../parts/Page.tsx';
import { When } from '../parts/When.tsx';
import { t } from '../words/audit.ts';
import '../styles/jobs.css';

const filters = ['actor', 'action', 'resource_type', 'resource_id', 'site_id'] as const;
type Filter = (typeof filters)[number];

export default function Audit() {
  const [view, setView, { filtered, clear }] = useView({
    ...{ actor: '', action: '', resource_type: '', resource_id: '', site_id: '' },
  });
  const list = useList(
    'GET /api/admin/audit',
    { query: { ...view, limit: 50 } },
    { rows: ({ entries }) => entries },
  );
  return (
    <Page title={t('title')} as_of_ms={list.as_of_ms}>
      <Filters apply={setView} clear={clear}>
        {filters.map((name) => (
          <Field key={name} label={t(name)}>
            {(field) => (
              <input
                name={name}
                defaultValue={view[name]}
                key={view[name]}
                placeholder={t('actor_hint')}
                maxLength={200}
                autoComplete="off"
                {...field}
              />
            )}
          </Field>
        ))}
      </Filters>
      <DataTable
        caption={t('caption')}
        columns={columns((name, value) => setView({ [name]: value }))}
        list={list}
        rowKey={({ id }) => id}
        filtered={filtered}
        clear={clear}
        nothing={t('nothing')}
        csv="audit"
      />
    </Page>
  );
}

function columns(only: (name: Filter, value: string) => void): Column<AuditEntry>[] {
  const filter = (name: Filter, value: string) => (
    <button
      type="button"
      className="link"
      onClick={() => only(name, value)}
      aria-label={t('only_this', { what: t(name), value })}
    >
      {value}
    </button>
  );
  return [
    { id: 'id', header: t('number'), names: true, cell: ({ id }) => id, text: ({ id }) => id },
    {
      ...{ id: 'at', header: t('when'), text: (row) => row.created_at },
      cell: (row) => <When at={row.created_at} />,
    },
    {
      ...{ id: 'actor', header: t('actor'), text: (row) => row.actor_id ?? row.actor_type },
      cell: (row) => (
        <>
          <Badge>{t(row.actor_type)}</Badge> {row.actor_id && filter('actor', row.actor_id)}
        </>
      ),
    },
    {
      ...{ id: 'action', header: t('action'), text: (row) => row.action },
      cell: (row) => filter('action', row.action),
    },
    {
      ...{ id: 'resource', header: t('resource'), text: (row) => row.resource_type },
      cell: (row) => (
        <>
          {filter('resource_type', row.resource_type)}
          <br />
          {row.resource_id && <Id value={row.resource_id} short />}
        </>
      ),
    },
    {
      ...{ id: 'site', header: t('site'), text: (row) => row.site_id },
      cell: (row) =>
        row.site_id ? <Link href={`/sites/${row.site_id}`}>{row.site_id.slice(0, 8)}…</Link> : '–',
    },
    {
      ...{ id: 'payload', header: t('payload'), text: (row) => JSON.stringify(row.payload) },
      cell: (row) => (
        <details className="payload">
          <summary>{preview(row.payload)}</summary>
          <pre>{JSON.stringify({ ...row.payload, resource_id: row.resource_id }, null, 2)}</pre>
        </details>
      ),
    },
  ];
}

const preview_letters = 48;
function preview(payload: object): string {
  const text = Object.entries(payload)
    .map(([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(', ');
  if (text === '') return '{}';
  return text.length > preview_letters ? `${text.slice(0, preview_letters)}…` : text;
}
