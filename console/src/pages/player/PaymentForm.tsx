// The form of a deposit or a withdrawal: the amount is read exactly, and one key stands for one thing that is asked for.
import { useRef, useState } from 'react';
import type { Answer } from '../../api/client.ts';
import { useAct } from '../../api/query.ts';
import { Field, Select } from '../../parts/Field.tsx';
import { RequestId, sentence } from '../../parts/states.tsx';
import { config } from '../../session/config.ts';
import { formatAmount } from '../../words/format.ts';
import { t } from '../../words/player.ts';
import { badAmount, typedAmount } from '../money/amount.tsx';
import { worded } from '../money/refusal.ts';

export type Balance = Answer<'GET /api/v1/player/wallet/balance'>;
export type Kind = 'deposit' | 'withdraw';
type Method = 'card' | 'bank' | 'crypto' | 'test' | 'test_bank';

/** Test methods are refused in production, so they are not offered there. */
function methodsOf(kind: Kind): readonly Method[] {
  const tests = !/^prod/.test(config().stage);
  const test: Method = kind === 'deposit' ? 'test' : 'test_bank';
  return [...(tests ? [test] : []), 'card', 'bank', 'crypto'];
}

export function PaymentForm({ kind, balance }: { kind: Kind; balance: Balance }) {
  const { currency, exponent } = balance;
  const methods = methodsOf(kind);
  const { send, running, outcome, error } = useSend(kind);
  const [amount, setAmount] = useState('');
  const [address, setAddress] = useState('');
  const [method, setMethod] = useState<string>(methods[0] ?? 'card');
  const [checked, setChecked] = useState(false);
  const minor = typedAmount(amount, currency, exponent);
  const unreadable = minor === undefined && (checked || amount !== '');
  const nowhere = checked && kind === 'withdraw' && address.trim() === '';
  const submit = async () => {
    setChecked(true);
    if (minor === undefined || (kind === 'withdraw' && address.trim() === '')) return;
    const to = kind === 'withdraw' ? { address: address.trim() } : {};
    if (!(await send({ amount_minor: minor, currency, method, ...to }))) return;
    setAmount('');
    setChecked(false);
  };
  return (
    <form
      noValidate
      className="payment"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Field label={t('amount', { currency })} {...(unreadable && { error: badAmount(currency, exponent) })}>
        {(field) => (
          <input
            name="amount"
            data-testid="amount-input"
            inputMode="decimal"
            autoComplete="off"
            value={amount}
            onInput={(event) => setAmount(event.currentTarget.value)}
            {...field}
          />
        )}
      </Field>
      <Select
        label={t('method')}
        name="method"
        value={method}
        options={methods.map((value) => ({ value, label: t(`method_${value}`) }))}
        onChange={setMethod}
      />
      {kind === 'withdraw' && (
        <Field label={t('address')} hint={t('address_hint')} {...(nowhere && { error: t('address_needed') })}>
          {(field) => (
            <input
              name="address"
              data-testid="address-input"
              autoComplete="off"
              maxLength={500}
              value={address}
              onInput={(event) => setAddress(event.currentTarget.value)}
              {...field}
            />
          )}
        </Field>
      )}
      <button type="submit" className="primary" data-testid="submit-button" disabled={running}>
        {label(kind, running, minor === undefined ? undefined : formatAmount(minor, currency, exponent ?? 0))}
      </button>
      <Outcome outcome={outcome} error={error} />
    </form>
  );
}

function label(kind: Kind, running: boolean, amount: string | undefined): string {
  if (running) return t('working');
  return amount === undefined ? t(kind) : t(`do_${kind}`, { amount });
}

function Outcome({ outcome, error }: { outcome: string | undefined; error: Error | undefined }) {
  if (error)
    return (
      <div className="state state-failed" role="alert">
        <p>{t('refused', { error: sentence(error) })}</p>
        <RequestId of={error} />
      </div>
    );
  return <div role="status">{outcome && <p className="state state-good">{outcome}</p>}</div>;
}

interface Payment {
  amount_minor: string;
  currency: string;
  method: string;
  address?: string;
}

/** The same thing tried again has the same key: an answer that was lost on the way happens once. */
function useSend(kind: Kind) {
  const deposit = useAct('POST /api/v1/player/wallet/deposit');
  const withdraw = useAct('POST /api/v1/player/wallet/withdraw');
  const last = useRef({ asked: '', key: '' });
  const [outcome, setOutcome] = useState<string>();
  const [error, setError] = useState<Error>();
  const send = async (body: Payment): Promise<boolean> => {
    const asked = JSON.stringify([kind, body]);
    if (last.current.asked !== asked) last.current = { asked, key: crypto.randomUUID() };
    const call = { headers: { 'idempotency-key': last.current.key }, body };
    setOutcome(undefined);
    setError(undefined);
    try {
      setOutcome(
        kind === 'deposit'
          ? deposited(await worded(deposit.run(call)))
          : requested(await worded(withdraw.run(call))),
      );
      last.current = { asked: '', key: '' };
      return true;
    } catch (refused) {
      // A refusal is pinned to its key: what is tried after it is another thing.
      if ((refused as { status?: number }).status !== undefined) last.current = { asked: '', key: '' };
      setError(refused as Error);
      return false;
    }
  };
  return { send, running: deposit.running || withdraw.running, outcome, error };
}

function deposited({ transaction, balance, client_secret }: Answer<'POST /api/v1/player/wallet/deposit'>) {
  const amount = formatAmount(transaction.amount_minor, transaction.currency, balance.exponent ?? undefined);
  if (transaction.state === 'completed') return t('deposited', { amount });
  if (transaction.state === 'failed') return t('deposit_failed', { amount });
  return client_secret ? t('deposit_goes_on') : t('deposit_pending', { amount });
}

function requested({ transaction, balance }: Answer<'POST /api/v1/player/wallet/withdraw'>) {
  return t('asked', {
    amount: formatAmount(transaction.amount_minor, transaction.currency, balance.exponent ?? undefined),
  });
}
