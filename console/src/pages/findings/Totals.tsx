// The sums of a run by currency, both sides and the drift between them; over: the provider moved more than the ledger.

import { t } from '../../words/findings.ts';
import { formatAmount } from '../../words/format.ts';
import { AmountDrift } from '../money/amount.tsx';
import { type Run, totalsOf } from './kinds.ts';

export function TotalsOf({ run }: { run: Run }) {
  const totals = totalsOf(run);
  if (totals.length === 0) return <span className="muted">–</span>;
  return (
    <ul className="plain">
      {totals.map(({ currency, provider_minor, ledger_minor, drift_minor }) => (
        <li key={currency}>
          <AmountDrift minor={drift_minor} currency={currency} />
          <div className="muted small number">
            {t('totals_of', {
              provider: formatAmount(provider_minor, currency),
              ledger: formatAmount(ledger_minor, currency),
            })}
          </div>
        </li>
      ))}
    </ul>
  );
}
