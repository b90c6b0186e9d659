// The fields of an amount with a direction: the sign is a choice in words, so that nobody types it.
import { Field, Select } from '../../parts/Field.tsx';
import { t as money } from '../../words/money.ts';
import { t } from '../../words/wallets.ts';
import { badAmount, currencies, typedAmount } from './amount.tsx';

export interface Typed {
  direction: 'credit' | 'debit';
  amount: string;
  currency: string;
}
export const noTyped: Typed = { direction: 'credit', amount: '', currency: 'USD' };

export function SignedAmount({ typed, change }: { typed: Typed; change: (typed: Typed) => void }) {
  const wrong = typed.amount !== '' && typedAmount(typed.amount, typed.currency) === undefined;
  return (
    <div className="filters">
      <Select
        label={t('adjust_direction')}
        name="direction"
        value={typed.direction}
        options={[
          { value: 'credit', label: t('adjust_credit') },
          { value: 'debit', label: t('adjust_debit') },
        ]}
        onChange={(direction) => change({ ...typed, direction: direction as Typed['direction'] })}
      />
      <Field label={money('amount')} {...(wrong && { error: badAmount(typed.currency) })}>
        {(field) => (
          <input
            name="amount"
            inputMode="decimal"
            autoComplete="off"
            size={12}
            value={typed.amount}
            onInput={(event) => change({ ...typed, amount: event.currentTarget.value })}
            {...field}
          />
        )}
      </Field>
      <Select
        label={money('currency')}
        name="currency"
        value={typed.currency}
        options={currencies.map((value) => ({ value, label: value }))}
        onChange={(currency) => change({ ...typed, currency })}
      />
    </div>
  );
}
