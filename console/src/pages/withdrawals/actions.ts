// What finance may do with a withdrawal in each state, as the kernel allows it, and the calls that do it.
import type { Answer } from '../../api/client.ts';
import { useAct } from '../../api/query.ts';
import type { Tone } from '../../parts/numbers.tsx';
import { formatAmount } from '../../words/format.ts';
import { t as money } from '../../words/money.ts';
import { t } from '../../words/withdrawals.ts';
import { worded } from '../money/refusal.ts';

export type Row = Answer<'GET /api/v1/finance/withdrawals'>['items'][number];
export type State = Row['state'];
export type Verb = 'approve' | 'reject' | 'pay' | 'mark_paid' | 'recheck' | 'retry';

export const verbs: Record<State, readonly Verb[]> = {
  requested: ['approve', 'reject'],
  approved: ['pay', 'mark_paid'],
  payout_pending: ['recheck'],
  unknown: ['recheck'],
  payout_failed: ['retry', 'reject', 'recheck'],
  paid: [],
  rejected: [],
  canceled: [],
};
export const states: readonly State[] = [
  ...(['requested', 'approved', 'payout_pending', 'unknown'] as const),
  ...(['payout_failed', 'paid', 'rejected', 'canceled'] as const),
];
export const tones: Record<State, Tone> = {
  requested: 'info',
  approved: 'info',
  payout_pending: 'warn',
  unknown: 'warn',
  payout_failed: 'bad',
  paid: 'good',
  rejected: 'plain',
  canceled: 'plain',
};

export const stateWord = (state: State) => money(`state_${state}`);
export const amountOf = ({ amount_minor, currency }: Row) => formatAmount(amount_minor, currency);
export const destinationOf = ({ address, method }: Row) => address ?? t('no_address', { method });

interface Given {
  reason: string;
  key: string;
}

/** Does it, and says what came of it. A refusal is thrown in words. */
export function useWithdrawalActs(): (verb: Verb, row: Row, given: Given) => Promise<string> {
  const review = useAct('POST /api/v1/finance/withdrawals/{id}/review');
  const mark = useAct('POST /api/v1/finance/withdrawals/{id}/mark-paid');
  const payout = useAct('POST /api/v1/finance/withdrawals/{id}/payout');
  const recheck = useAct('POST /api/v1/finance/withdrawals/{id}/recheck');
  const retry = useAct('POST /api/v1/finance/withdrawals/{id}/retry');
  return async (verb, row, { reason, key }) => {
    const call = {
      path: { id: row.id },
      query: { tenant_id: row.tenant_id },
      headers: { 'idempotency-key': key },
      body: reason ? { reason } : {},
    };
    const asked = { ...call, body: { action: verb === 'approve' ? 'approve' : 'reject', reason } } as const;
    const does = {
      approve: () => review.run(asked),
      reject: () => review.run(asked),
      mark_paid: () => mark.run(call),
      pay: () => payout.run(call),
      recheck: () => recheck.run(call),
      retry: () => retry.run(call),
    };
    const answer = await worded<{ transaction: Row; changed?: boolean }>(does[verb]());
    if (answer.changed === false) return t('no_change');
    return t(`result_${answer.transaction.state}`, { amount: amountOf(answer.transaction) });
  };
}
