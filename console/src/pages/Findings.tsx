// Findings: what does not agree between providers and the ledger, and the reconciliations that found it.
import { Link } from 'wouter';
import { useList } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { type Column, DataTable } from '../parts/DataTable.tsx';
import { Field, Filters, Select } from '../parts/Field.tsx';
import { Badge, Count } from '../parts/numbers.tsx';
import { Page } from '../parts/Page.tsx';
import { When } from '../parts/When.tsx';
import { useViewer } from '../session/viewer.ts';
import '../styles/money.css';
import { messageOf, t, typeWord } from '../words/findings.ts';
import { formatDuration } from '../words/format.ts';
import { t as money } from '../words/money.ts';
import { Ages } from './findings/Ages.tsx';
import { providers, type Row, severities, tones, types } from './findings/kinds.ts';
import { Runs } from './findings/Runs.tsx';
import { Reload } from './money/Reload.tsx';
import { TenantField } from './money/tenant.tsx';

const defaults = {
  ...{ status: 'OPEN', finding_type: '', severity: '', provider: '', owner: '', player_id: '', tx_id: '' },
  ...{ tenant_id: '', sort: '' },
} as const;
type View = { readonly [Name in keyof typeof defaults]: string };

export default function Findings() {
  const { session } = useViewer();
  const [view, setView, { clear }] = useView(defaults);
  const { sort, ...query } = view;
  const list = useList(
    'GET /api/v1/payments/reconciliation/findings',
    {
      query: { ...query, status: query.status as Row['status'], severity: query.severity as Row['severity'] },
    },
    {
      rows: (answer) => answer.items,
      total: (answer) => answer.meta.total,
      cursor: 'offset',
      next: ({ meta, items }) =>
        meta.offset + items.length < meta.total ? String(meta.offset + meta.limit) : null,
      live: true,
    },
  );
  // Which status is shown is a view, not a filter: with none open, all is well.
  const { status, tenant_id, ...narrowing } = query;
  return (
    <Page title={t('title')} as_of_ms={list.as_of_ms} actions={<Reload />}>
      <Ages tenant_id={tenant_id} />
      <FindingFilters
        view={view}
        apply={setView}
        clear={clear}
        mine={() => setView({ owner: session.name })}
      />
      <DataTable
        caption={t('caption')}
        columns={columns()}
        list={list}
        rowKey={(row) => row.id}
        filtered={Object.values(narrowing).some(Boolean)}
        clear={clear}
        nothing={status === 'OPEN' ? t('nothing_open') : t('nothing')}
        csv="findings"
        sort={sort}
        onSort={(next) => setView({ sort: next }, true)}
        rowTone={(row) => (row.status === 'OPEN' && row.severity === 'CRITICAL' ? 'bad' : undefined)}
      />
      <Runs tenant_id={tenant_id} />
    </Page>
  );
}

interface FilterProps {
  view: View;
  apply: (values: Record<string, string>) => void;
  clear: (() => void) | undefined;
  mine: () => void;
}

function FindingFilters({ view, apply, clear, mine }: FilterProps) {
  const any = { value: '', label: money('any') };
  const same = (values: readonly string[]) => [any, ...values.map((value) => ({ value, label: value }))];
  const status = [
    any,
    ...(['OPEN', 'RESOLVED'] as const).map((value) => ({ value, label: t(`status_${value}`) })),
  ];
  const type = [any, ...types.map((value) => ({ value, label: typeWord(value) }))];
  const text = (name: 'owner' | 'player_id' | 'tx_id', label: string) => (
    <Field label={label}>
      {(field) => <input name={name} defaultValue={view[name]} size={14} spellCheck={false} {...field} />}
    </Field>
  );
  return (
    <Filters apply={apply} clear={clear} key={JSON.stringify(view)}>
      <Select label={t('status')} name="status" value={view.status} options={status} />
      <Select label={t('type')} name="finding_type" value={view.finding_type} options={type} />
      <Select label={t('severity')} name="severity" value={view.severity} options={same(severities)} />
      <Select label={t('provider')} name="provider" value={view.provider} options={same(providers)} />
      {text('owner', t('owner'))}
      {text('player_id', money('player'))}
      {text('tx_id', t('tx_id'))}
      <TenantField value={view.tenant_id} nothing={t('no_tenant')} />
      <button type="button" onClick={mine}>
        {t('mine')}
      </button>
    </Filters>
  );
}

const columns = (): Column<Row>[] => [
  {
    id: 'type',
    header: t('type'),
    names: true,
    cell: (row) => <Link href={`/findings/${row.id}`}>{typeWord(row.finding_type)}</Link>,
    text: (row) => row.finding_type,
    sort: (row) => typeWord(row.finding_type),
  },
  {
    id: 'severity',
    header: t('severity'),
    cell: (row) => <Badge tone={tones[row.severity]}>{row.severity}</Badge>,
    text: (row) => row.severity,
    sort: (row) => severities.indexOf(row.severity),
  },
  { id: 'status', header: t('status'), cell: (row) => <Status of={row} />, text: (row) => row.status },
  { id: 'provider', header: t('provider'), cell: (row) => row.provider, text: (row) => row.provider },
  { id: 'message', header: t('message'), cell: messageOf, text: (row) => row.message },
  {
    id: 'found',
    header: t('found'),
    cell: (row) => <When at={row.created_at} />,
    text: (row) => row.created_at,
    sort: (row) => row.created_at,
  },
  {
    id: 'age',
    header: t('age'),
    align: 'end',
    cell: (row) => (row.age_s === null ? '–' : formatDuration(row.age_s)),
    text: (row) => row.age_s,
    sort: (row) => row.age_s,
  },
  {
    id: 'reopened',
    header: t('reopened'),
    unit: t('times'),
    align: 'end',
    cell: (row) => <Count value={row.reopened_count} />,
    text: (row) => row.reopened_count,
    sort: (row) => row.reopened_count,
  },
  {
    id: 'owner',
    header: t('owner'),
    cell: (row) => row.owner ?? <span className="muted">{t('nobody')}</span>,
    text: (row) => row.owner,
  },
];

function Status({ of: row }: { of: Row }) {
  if (row.status === 'OPEN') return <Badge tone="warn">{t('status_OPEN')}</Badge>;
  return <Badge tone="good">{row.accepted ? t('accepted') : t('status_RESOLVED')}</Badge>;
}
