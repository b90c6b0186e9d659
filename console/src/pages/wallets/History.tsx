// The history of an account: its balance as a step line, and each movement with both legs and the running balance.
import type { Answer } from '../../api/client.ts';
import { type List, useList } from '../../api/query.ts';
import { LineChart } from '../../parts/Chart.tsx';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Amount } from '../../parts/numbers.tsx';
import { When } from '../../parts/When.tsx';
import { formatAmount, toDecimal } from '../../words/format.ts';
import { word } from '../../words/money.ts';
import { t } from '../../words/wallets.ts';
import { Legs, Reference, Reversals, type Transfer } from '../money/Movement.tsx';

type Account = Answer<'GET /api/admin/ledger/accounts'>['accounts'][number];
export interface Movement {
  transfer: Transfer;
  account: Account;
  /** Of this account, in minor units. */
  moved: bigint;
  /** Null where it cannot be known: no floor guards the account, and newer pages lie between. */
  after: bigint | null;
}

/** The movements of a page. What the history of the account itself does not say is counted back from its balance. */
function movementsOf(answer: Answer<'GET /api/admin/ledger/accounts/{id}'>, first: boolean): Movement[] {
  const { account, transfers } = answer;
  let counted = first ? BigInt(account.balance_minor) : null;
  return transfers.map((transfer) => {
    const own = transfer.entries.filter(({ account_id }) => account_id === account.id);
    const moved = own.reduce((sum, { amount_minor }) => sum + BigInt(amount_minor), 0n);
    const told = own.at(-1)?.balance_after_minor;
    const after = told === null || told === undefined ? counted : BigInt(told);
    if (counted !== null) counted -= moved;
    return { transfer, account, moved, after };
  });
}

export function useHistory(id: string, tenant_id: string, enabled = true): List<Movement> {
  const first = !new URLSearchParams(location.search).has('cursor');
  return useList(
    'GET /api/admin/ledger/accounts/{id}',
    { path: { id }, query: { tenant_id } },
    { rows: (answer) => movementsOf(answer, first), enabled },
  );
}

interface HistoryProps {
  list: List<Movement>;
  name: string;
  open: (id: string) => void;
}

export function History({ list, name, open }: HistoryProps) {
  const rows = list.rows ?? [];
  const account = rows[0]?.account;
  return (
    <>
      {account && <Balance rows={rows} account={account} name={name} />}
      {account && !account.constrained && <p className="muted small">{t('floor_none')}</p>}
      <div className="movements">
        <DataTable
          caption={t('history_caption')}
          columns={columns(open)}
          list={list}
          rowKey={({ transfer }) => transfer.id}
          nothing={t('history_nothing')}
          csv="movements"
        />
      </div>
    </>
  );
}

function Balance({ rows, account, name }: { rows: readonly Movement[]; account: Account; name: string }) {
  const { currency, exponent } = account;
  const points = rows
    .filter(({ after }) => after !== null)
    .toReversed()
    .map(({ transfer, after }) => ({ at: transfer.created_at, value: toDecimal(after ?? 0n, exponent) }));
  if (points.length < 2) return null;
  return (
    <LineChart
      title={t('chart')}
      unit={currency}
      series={[{ name, kind: 'step', points }]}
      format={(value) => formatAmount(minorOf(String(value), exponent), currency, exponent)}
    />
  );
}

/** "-12.50" → -1250n: what toDecimal has written. */
const minorOf = (decimal: string, exponent: number) =>
  exponent === 0 ? BigInt(decimal) : BigInt(decimal.replace('.', ''));

const columns = (open: (id: string) => void): Column<Movement>[] => [
  {
    id: 'when',
    header: t('when'),
    cell: ({ transfer }) => <When at={transfer.created_at} />,
    text: ({ transfer }) => transfer.created_at,
  },
  {
    id: 'movement',
    header: t('movement'),
    names: true,
    cell: ({ transfer }) => (
      <>
        <button type="button" className="link" onClick={() => open(transfer.id)}>
          {word('kind', transfer.kind)}
        </button>
        {transfer.reason && <div className="muted small">{transfer.reason}</div>}
        <div className="reversals">
          <Reversals transfer={transfer} open={open} />
        </div>
      </>
    ),
    text: ({ transfer }) => transfer.kind,
  },
  {
    id: 'moved',
    header: t('moved'),
    align: 'end',
    cell: ({ moved, account }) => (
      <Amount minor={moved} currency={account.currency} exponent={account.exponent} />
    ),
    text: ({ moved }) => moved,
  },
  {
    id: 'after',
    header: t('running'),
    align: 'end',
    cell: ({ after, account }) => (
      <Amount minor={after} currency={account.currency} exponent={account.exponent} />
    ),
    text: ({ after }) => after,
  },
  {
    id: 'legs',
    header: t('legs'),
    cell: ({ transfer, account }) => <Legs transfer={transfer} here={account.id} />,
    text: ({ transfer }) =>
      transfer.entries.map(({ kind, amount_minor }) => `${kind} ${amount_minor}`).join('; '),
  },
  {
    id: 'reference',
    header: t('reference'),
    cell: ({ transfer }) => <Reference transfer={transfer} />,
    text: ({ transfer }) => transfer.reference,
  },
];
