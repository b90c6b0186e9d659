// An adjustment of a balance by a person: both legs are posted, the reason is kept, and the key makes it happen once.
import { useState } from 'react';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { formatAmount } from '../../words/format.ts';
import { t } from '../../words/wallets.ts';
import { badAmount, typedAmount } from '../money/amount.tsx';
import { worded } from '../money/refusal.ts';
import { noTyped, SignedAmount, type Typed } from '../money/SignedAmount.tsx';
import type { Player } from './Identity.tsx';

export function Adjust({ player, onClose }: { player: Player; onClose: () => void }) {
  const adjust = useAct('POST /api/v1/admin/ledger/adjust');
  const [typed, setTyped] = useState<Typed>(noTyped);
  const minor = typedAmount(typed.amount, typed.currency);
  const amount = minor === undefined ? undefined : formatAmount(minor, typed.currency);
  const says = {
    credit: { consequence: 'adjust_add', action: 'adjust_do_add' },
    debit: { consequence: 'adjust_take', action: 'adjust_do_take' },
  } as const;
  const { consequence, action } = says[typed.direction];
  const act = async (reason: string, key: string) => {
    if (minor === undefined) throw new Error(badAmount(typed.currency));
    const answer = await worded(
      adjust.run({
        query: { tenant_id: player.tenant_id },
        headers: { 'idempotency-key': key },
        body: {
          player_id: player.player_id,
          delta_minor: typed.direction === 'credit' ? minor : `-${minor}`,
          currency: typed.currency,
          reason,
        },
      }),
    );
    const available = formatAmount(answer.balance.available_real, typed.currency);
    return t(answer.idempotent_replay ? 'adjust_replayed' : 'adjust_done', { amount: available });
  };
  return (
    <ReasonDialog
      title={t('adjust')}
      consequence={amount === undefined ? t('adjust_none') : t(consequence, { amount })}
      action={amount === undefined ? t('adjust_do') : t(action, { amount })}
      danger={typed.direction === 'debit'}
      fields={<SignedAmount typed={typed} change={setTyped} />}
      keyed
      act={({ reason, key }) => act(reason, key)}
      onClose={onClose}
    />
  );
}
