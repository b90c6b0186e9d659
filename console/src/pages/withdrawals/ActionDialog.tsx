// The dialog of an action: what it will do, why, and under which key.
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { t } from '../../words/withdrawals.ts';
import { amountOf, destinationOf, type Row, useWithdrawalActs, type Verb } from './actions.ts';

export interface Action {
  verb: Verb;
  row: Row;
}

const reasons = { pay: 'optional', recheck: 'none' } as const;

export function ActionDialog({ verb, row, onClose }: Action & { onClose: () => void }) {
  const act = useWithdrawalActs();
  const amount = amountOf(row);
  const values = { amount, destination: destinationOf(row) };
  return (
    <ReasonDialog
      title={t(`${verb}_title`)}
      consequence={t(`${verb}_consequence`, values)}
      action={t(`${verb}_amount`, { amount })}
      danger={verb === 'reject'}
      reason={verb === 'pay' || verb === 'recheck' ? reasons[verb] : 'needed'}
      keyed
      act={(given) => act(verb, row, given)}
      onClose={onClose}
    />
  );
}
