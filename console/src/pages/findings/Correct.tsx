// The correcting transfer of a finding: typed or as suggested, with its consequence before it is posted.
import { useState } from 'react';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { t } from '../../words/findings.ts';
import { exponentOf, formatAmount, toDecimal } from '../../words/format.ts';
import { badAmount, typedAmount } from '../money/amount.tsx';
import { worded } from '../money/refusal.ts';
import { noTyped, SignedAmount, type Typed } from '../money/SignedAmount.tsx';
import type { Whole } from './kinds.ts';
import { suggestionOf } from './sides.ts';

function typedOf(finding: Whole): Typed {
  const suggested = suggestionOf(finding);
  if (!suggested) return noTyped;
  const { minor, currency } = suggested;
  const size = minor < 0n ? -minor : minor;
  return {
    direction: minor < 0n ? 'debit' : 'credit',
    amount: toDecimal(size, exponentOf(currency)),
    currency,
  };
}

export function Correct({ finding, onClose }: { finding: Whole; onClose: () => void }) {
  const correct = useAct('POST /api/v1/payments/reconciliation/findings/{id}/correction');
  const [typed, setTyped] = useState<Typed>(() => typedOf(finding));
  const suggested = suggestionOf(finding);
  const minor = typedAmount(typed.amount, typed.currency);
  const amount = minor === undefined ? undefined : formatAmount(minor, typed.currency);
  const adds = typed.direction === 'credit';
  const act = async (reason: string, key: string) => {
    if (minor === undefined) throw new Error(badAmount(typed.currency));
    const { correction } = await worded(
      correct.run({
        path: { id: finding.id },
        query: { tenant_id: finding.tenant_id ?? undefined },
        headers: { 'idempotency-key': key },
        body: { delta_minor: adds ? minor : `-${minor}`, currency: typed.currency, reason },
      }),
    );
    const moved = formatAmount(correction.delta_minor, correction.currency);
    return t(correction.state === 'posted' ? 'correct_posted' : 'correct_proposed', { amount: moved });
  };
  return (
    <ReasonDialog
      title={t('correct')}
      consequence={
        amount === undefined ? t('correct_none') : t(adds ? 'correct_add' : 'correct_take', { amount })
      }
      action={
        amount === undefined ? t('correct') : t(adds ? 'correct_do_add' : 'correct_do_take', { amount })
      }
      danger={!adds}
      fields={
        <>
          {suggested && (
            <p className="muted">
              {t('suggestion', { amount: formatAmount(suggested.minor, suggested.currency) })}
            </p>
          )}
          <SignedAmount typed={typed} change={setTyped} />
        </>
      }
      keyed
      act={({ reason, key }) => act(reason, key)}
      onClose={onClose}
    />
  );
}
