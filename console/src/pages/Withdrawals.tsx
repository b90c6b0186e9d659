// Withdrawals: the queue by state, what may be done with each, and the whole of one beside it.
import { useRef, useState } from 'react';
import { Link } from 'wouter';
import { useList } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Id } from '../parts/Copy.tsx';
import { type Column, DataTable } from '../parts/DataTable.tsx';
import { Field, Filters, Select } from '../parts/Field.tsx';
import { Amount, Badge } from '../parts/numbers.tsx';
import { Page } from '../parts/Page.tsx';
import { When } from '../parts/When.tsx';
import '../styles/money.css';
import { t as money } from '../words/money.ts';
import { t } from '../words/withdrawals.ts';
import { Person } from './money/Person.tsx';
import { Reload } from './money/Reload.tsx';
import { TenantField, usePaths } from './money/tenant.tsx';
import { type Action, ActionDialog } from './withdrawals/ActionDialog.tsx';
import { Actions } from './withdrawals/Actions.tsx';
import { type Row, type State, states, stateWord, tones } from './withdrawals/actions.ts';
import { Detail } from './withdrawals/Detail.tsx';
import { Export } from './withdrawals/Export.tsx';
import { all, Tabs } from './withdrawals/Tabs.tsx';

const defaults = {
  ...{ state: 'requested', player_id: '', date_from: '', date_to: '', tenant_id: '' },
  ...{ sort: '', id: '' },
} as const;
const page_size = 50;
const day_ms = 86_400_000;

/** The kernel leaves out date_to; a person means the day to be in. */
const dayAfter = (day: string) =>
  /^\d{4}-\d\d-\d\d$/.test(day) ? new Date(Date.parse(day) + day_ms).toISOString().slice(0, 10) : day;

export default function Withdrawals() {
  const [view, setView, { clear }] = useView(defaults);
  const { state, player_id, date_from, tenant_id } = view;
  const filter = { player_id, date_from, date_to: dayAfter(view.date_to), tenant_id };
  const inState = state === all ? {} : { state: state as State };
  const sort = view.sort === 'created' ? ('created_at_asc' as const) : undefined;
  const list = useList(
    'GET /api/v1/finance/withdrawals',
    { query: { ...filter, ...inState, sort, limit: page_size } },
    { rows: (answer) => answer.items, total: (answer) => answer.meta.total, live: true },
  );
  const [action, setAction] = useState<Action>();
  const table = useRef<HTMLDivElement>(null);
  const close = () => {
    setAction(undefined);
    // The row may have left this queue, and its button with it: the keyboard then goes on in the table.
    setTimeout(() => {
      if (document.activeElement === document.body)
        table.current?.querySelector<HTMLElement>('section')?.focus();
    });
  };
  return (
    <Page
      title={t('title')}
      as_of_ms={list.as_of_ms}
      actions={
        <>
          <Reload />
          <Export key={JSON.stringify([filter, inState])} query={{ ...filter, ...inState, sort }} />
        </>
      }
    >
      <Tabs filter={filter} current={state} usual={defaults.state} />
      <WithdrawalFilters view={view} apply={setView} clear={clear} />
      <div ref={table} className="withdrawals">
        <DataTable
          caption={t('caption')}
          columns={useColumns(setAction, (id) => setView({ id }))}
          list={list}
          rowKey={(row) => row.id}
          filtered={Boolean(player_id || date_from || view.date_to)}
          clear={clear}
          nothing={state === all ? t('nothing') : t('nothing_here')}
          sort={view.sort || '-created'}
          onSort={(next) => setView({ sort: next })}
          rowTone={(row) =>
            ({ unknown: 'warn', payout_failed: 'bad' })[row.state as string] as 'warn' | 'bad'
          }
        />
      </div>
      <p className="muted small">{t('four_eyes')}</p>
      {view.id && (
        <Detail
          id={view.id}
          tenant_id={tenant_id}
          start={setAction}
          onClose={() => setView({ id: undefined })}
        />
      )}
      {action && <ActionDialog {...action} onClose={close} />}
    </Page>
  );
}

interface FilterProps {
  view: { readonly [Name in keyof typeof defaults]: string };
  apply: (values: Record<string, string>) => void;
  clear: (() => void) | undefined;
}

function WithdrawalFilters({ view, apply, clear }: FilterProps) {
  const options = [
    ...states.map((value) => ({ value, label: stateWord(value) })),
    { value: all, label: t('all') },
  ];
  return (
    <Filters apply={apply} clear={clear} key={JSON.stringify(view)}>
      <Select label={t('status')} name="state" value={view.state} options={options} />
      <Field label={t('player_id')}>
        {(field) => <input name="player_id" defaultValue={view.player_id} spellCheck={false} {...field} />}
      </Field>
      <Field label={t('from')}>
        {(field) => <input type="date" name="date_from" defaultValue={view.date_from} {...field} />}
      </Field>
      <Field label={t('to')}>
        {(field) => <input type="date" name="date_to" defaultValue={view.date_to} {...field} />}
      </Field>
      <TenantField value={view.tenant_id} />
    </Filters>
  );
}

function useColumns(start: (action: Action) => void, open: (id: string) => void): Column<Row>[] {
  const paths = usePaths();
  return [
    { id: 'tx', header: t('tx_id'), names: true, cell: (row) => <Id value={row.id} what={t('tx_id')} /> },
    {
      id: 'player',
      header: t('player_id'),
      cell: (row) => (
        <Link href={paths.wallet(row.player_id, row.tenant_id)} title={row.player_id}>
          <code>{row.player_id.slice(0, 8)}…</code>
        </Link>
      ),
    },
    {
      id: 'amount',
      header: money('amount'),
      align: 'end',
      cell: (row) => <Amount minor={row.amount_minor} currency={row.currency} />,
    },
    {
      id: 'state',
      header: t('state'),
      cell: (row) => <Badge tone={tones[row.state]}>{stateWord(row.state)}</Badge>,
    },
    { id: 'created', header: t('created'), sort: 'server', cell: (row) => <When at={row.created_at} /> },
    { id: 'by', header: t('reviewed_by'), cell: (row) => <Person id={row.reviewed_by} /> },
    { id: 'reviewed', header: t('reviewed_at'), cell: (row) => <When at={row.reviewed_at} /> },
    {
      id: 'actions',
      header: t('actions'),
      cell: (row) => (
        <div className="actions">
          <Actions row={row} start={start} />
          <button type="button" aria-label={`${money('details')} ${row.id}`} onClick={() => open(row.id)}>
            {money('details')}
          </button>
        </div>
      ),
    },
  ];
}
