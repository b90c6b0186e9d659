// Wallets: the trial balance that must read zero, and every account of the tenant.
import { Link, useLocation } from 'wouter';
import type { Answer } from '../api/client.ts';
import { useList } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { type Column, DataTable } from '../parts/DataTable.tsx';
import { Field, Filters, Select } from '../parts/Field.tsx';
import { Amount } from '../parts/numbers.tsx';
import { Page, Section } from '../parts/Page.tsx';
import { When } from '../parts/When.tsx';
import '../styles/money.css';
import { t as money, word } from '../words/money.ts';
import { t } from '../words/wallets.ts';
import { currencies } from './money/amount.tsx';
import { accountName } from './money/Movement.tsx';
import { Reload } from './money/Reload.tsx';
import { TenantField, usePaths } from './money/tenant.tsx';
import { TrialBalance } from './wallets/TrialBalance.tsx';

type Account = Answer<'GET /api/admin/ledger/accounts'>['accounts'][number];
const kinds = ['available', 'held', 'promo', 'clearing', 'revenue', 'adjustments', 'promotion'] as const;
const defaults = { kind: '', currency: '', owner_id: '', tenant_id: '', sort: '' } as const;

export default function Wallets() {
  const [view, setView, { filtered, clear }] = useView(defaults);
  const { kind, currency, owner_id, tenant_id } = view;
  const list = useList(
    'GET /api/admin/ledger/accounts',
    { query: { kind, currency, owner_id, tenant_id } },
    { rows: (answer) => answer.accounts },
  );
  const any = { value: '', label: money('any') };
  return (
    <Page title={t('title')} as_of_ms={list.as_of_ms} actions={<Reload />}>
      <Section title={t('trial')}>
        <TrialBalance tenant_id={tenant_id} />
      </Section>
      <Section title={t('accounts')} actions={<OpenWallet tenant_id={tenant_id} />}>
        <Filters apply={setView} clear={clear} key={JSON.stringify(view)}>
          <Select
            label={t('kind')}
            name="kind"
            value={kind}
            options={[any, ...kinds.map((value) => ({ value, label: word('account', value) }))]}
          />
          <Select
            label={money('currency')}
            name="currency"
            value={currency}
            options={[any, ...currencies.map((value) => ({ value, label: value }))]}
          />
          <Field label={t('owner')}>
            {(field) => <input name="owner_id" defaultValue={owner_id} spellCheck={false} {...field} />}
          </Field>
          <TenantField value={tenant_id} />
        </Filters>
        <DataTable
          caption={t('accounts_caption')}
          columns={useColumns()}
          list={list}
          rowKey={(row) => row.id}
          filtered={filtered}
          clear={clear}
          nothing={t('accounts_nothing')}
          csv="accounts"
          sort={view.sort}
          onSort={(sort) => setView({ sort }, true)}
        />
      </Section>
    </Page>
  );
}

function OpenWallet({ tenant_id }: { tenant_id: string }) {
  const [, navigate] = useLocation();
  const paths = usePaths();
  return (
    <form
      className="filters open-wallet"
      onSubmit={(event) => {
        event.preventDefault();
        const id = String(new FormData(event.currentTarget).get('player') ?? '').trim();
        if (id) navigate(paths.wallet(encodeURIComponent(id), tenant_id));
      }}
    >
      <Field label={t('find_wallet')}>
        {(field) => (
          <input
            name="player"
            placeholder={t('player_id')}
            spellCheck={false}
            autoComplete="off"
            {...field}
          />
        )}
      </Field>
      <button type="submit">{t('open')}</button>
    </form>
  );
}

function useColumns(): Column<Account>[] {
  const paths = usePaths();
  return [
    {
      id: 'account',
      header: t('account'),
      names: true,
      cell: (row) => <Link href={paths.account(row.id, row.tenant_id)}>{accountName(row)}</Link>,
      text: (row) => row.id,
      sort: accountName,
    },
    { id: 'currency', header: money('currency'), cell: (row) => row.currency, text: (row) => row.currency },
    {
      id: 'owner',
      header: t('owner'),
      cell: (row) =>
        row.owner_id ? (
          <Link href={paths.wallet(row.owner_id, row.tenant_id)}>
            <code>{row.owner_id}</code>
          </Link>
        ) : (
          <span className="muted">–</span>
        ),
      text: (row) => row.owner_id,
    },
    {
      id: 'balance',
      header: t('balance'),
      align: 'end',
      cell: (row) => <Amount minor={row.balance_minor} currency={row.currency} exponent={row.exponent} />,
      text: (row) => row.balance_minor,
      sort: (row) => BigInt(row.balance_minor),
    },
    {
      id: 'opened',
      header: t('opened'),
      cell: (row) => <When at={row.created_at} />,
      text: (row) => row.created_at,
    },
  ];
}
