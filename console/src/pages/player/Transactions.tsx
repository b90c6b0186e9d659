// A player's own deposits and withdrawals with their states; what nobody has reviewed yet can be taken back.
import { useState } from 'react';
import type { Answer } from '../../api/client.ts';
import { useAct, useList } from '../../api/query.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Amount, Badge, type Tone } from '../../parts/numbers.tsx';
import { When } from '../../parts/When.tsx';
import { formatAmount } from '../../words/format.ts';
import { t as money } from '../../words/money.ts';
import { t } from '../../words/player.ts';
import { worded } from '../money/refusal.ts';

type Transaction = Answer<'GET /api/v1/player/wallet/transactions'>['items'][number];
type Withdrawal = Extract<Transaction, { type: 'withdrawal' }>;

const page_size = 20;
const tones: Partial<Record<Transaction['state'], Tone>> = {
  completed: 'good',
  paid: 'good',
  failed: 'bad',
  payout_failed: 'warn',
  unknown: 'warn',
  requested: 'info',
  approved: 'info',
  payout_pending: 'info',
  pending_provider: 'info',
};

export function Transactions() {
  const [canceling, setCanceling] = useState<Withdrawal>();
  const list = useList(
    'GET /api/v1/player/wallet/transactions',
    { query: { limit: page_size } },
    {
      rows: (answer) => answer.items,
      total: (answer) => answer.meta.total,
      cursor: 'page',
      next: ({ meta }) => (meta.page * meta.page_size < meta.total ? String(meta.page + 1) : null),
      live: true,
    },
  );
  return (
    <>
      <DataTable
        caption={t('transactions_caption')}
        columns={columns(setCanceling)}
        list={list}
        rowKey={(row) => row.id}
        nothing={t('transactions_nothing')}
        csv="transactions"
      />
      {canceling && <Cancel row={canceling} onClose={() => setCanceling(undefined)} />}
    </>
  );
}

const columns = (cancel: (row: Withdrawal) => void): Column<Transaction>[] => [
  {
    id: 'what',
    header: t('type'),
    names: true,
    cell: (row) => t(`type_${row.type}`),
    text: (row) => row.type,
  },
  {
    id: 'amount',
    header: money('amount'),
    align: 'end',
    cell: (row) => <Amount minor={row.amount_minor} currency={row.currency} />,
    text: (row) => row.amount_minor,
  },
  { id: 'state', header: t('state'), cell: (row) => <State of={row} />, text: (row) => row.state },
  {
    id: 'when',
    header: t('when'),
    cell: (row) => <When at={row.created_at} />,
    text: (row) => row.created_at,
  },
  {
    id: 'to',
    header: t('destination'),
    cell: (row) => (row.type === 'withdrawal' && row.address) || <span className="muted">–</span>,
    text: (row) => (row.type === 'withdrawal' ? row.address : null),
  },
  {
    id: 'actions',
    header: t('actions'),
    cell: (row) =>
      row.type === 'withdrawal' && row.state === 'requested' ? (
        <button
          type="button"
          aria-label={t('cancel_of', { amount: amountOf(row), id: row.id })}
          onClick={() => cancel(row)}
        >
          {t('cancel')}
        </button>
      ) : (
        <span className="muted">–</span>
      ),
  },
];

const amountOf = ({ amount_minor, currency }: Transaction) => formatAmount(amount_minor, currency);

function State({ of: row }: { of: Transaction }) {
  const note =
    row.type === 'withdrawal' && (row.state === 'unknown' ? t('state_note_unknown') : row.review_reason);
  return (
    <>
      <Badge tone={tones[row.state] ?? 'plain'}>
        {row.state === 'requested' ? t('state_requested') : money(`state_${row.state}`)}
      </Badge>
      {note && row.state !== 'paid' && row.state !== 'approved' && <div className="muted small">{note}</div>}
    </>
  );
}

function Cancel({ row, onClose }: { row: Withdrawal; onClose: () => void }) {
  const cancel = useAct('POST /api/v1/player/wallet/withdrawals/{id}/cancel');
  const amount = amountOf(row);
  return (
    <ReasonDialog
      title={t('cancel_title')}
      consequence={t('cancel_consequence', { amount })}
      action={t('cancel_amount', { amount })}
      reason="none"
      act={async () => {
        await worded(cancel.run({ path: { id: row.id } }));
        return t('canceled', { amount });
      }}
      onClose={onClose}
    />
  );
}
