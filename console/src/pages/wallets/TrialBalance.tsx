// The trial balance: each currency must read zero; below it, what each kind of account holds.
import type { Answer } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Amount, Count, Stat, Stats } from '../../parts/numbers.tsx';
import { Nothing, Show } from '../../parts/states.tsx';
import { formatAmount } from '../../words/format.ts';
import { word } from '../../words/money.ts';
import { t } from '../../words/wallets.ts';

type Currency = Answer<'GET /api/admin/ledger/trial-balance'>['currencies'][number];

export function TrialBalance({ tenant_id }: { tenant_id: string }) {
  const read = useRead('GET /api/admin/ledger/trial-balance', { query: { tenant_id } }, { live: true });
  return (
    <Show read={read}>
      {({ currencies, as_of }) =>
        currencies.length === 0 ? (
          <Nothing>{t('trial_none')}</Nothing>
        ) : (
          <>
            <Stats>
              {currencies.map((currency) => (
                <Sum key={currency.currency} of={currency} as_of={as_of} />
              ))}
            </Stats>
            <div className="columns trial">
              {currencies.map((currency) => (
                <Kinds key={currency.currency} of={currency} />
              ))}
            </div>
            <p className="muted small">{t('trial_hint')}</p>
          </>
        )
      }
    </Show>
  );
}

function Sum({ of: { currency, exponent, sum_minor }, as_of }: { of: Currency; as_of: string }) {
  const sum = BigInt(sum_minor);
  const amount = formatAmount(sum < 0n ? -sum : sum, currency, exponent);
  const said =
    sum === 0n
      ? t('trial_good', { amount })
      : sum > 0n
        ? t('trial_bad', { amount })
        : t('trial_bad_under', { amount });
  return (
    <div role={sum === 0n ? undefined : 'alert'}>
      <Stat
        label={currency}
        tone={sum === 0n ? 'good' : 'bad'}
        value={<Amount minor={sum_minor} currency={currency} exponent={exponent} />}
        note={said}
        as_of={as_of}
      />
    </div>
  );
}

function Kinds({ of: { currency, exponent, kinds, sum_minor } }: { of: Currency }) {
  return (
    <table className="card">
      <caption>{t('trial_caption', { currency })}</caption>
      <thead>
        <tr>
          <th scope="col">{t('kind')}</th>
          <th scope="col" className="end">
            {t('accounts_n')}
          </th>
          <th scope="col" className="end">
            {t('balance')}
          </th>
        </tr>
      </thead>
      <tbody>
        {kinds.map(({ kind, accounts, balance_minor }) => (
          <tr key={kind}>
            <th scope="row">{word('account', kind)}</th>
            <td className="end">
              <Count value={accounts} />
            </td>
            <td className="end">
              <Amount minor={balance_minor} currency={currency} exponent={exponent} />
            </td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row" colSpan={2}>
            {t('trial_sum')}
          </th>
          <td className="end">
            <strong>
              <Amount minor={sum_minor} currency={currency} exponent={exponent} />
            </strong>
          </td>
        </tr>
      </tfoot>
    </table>
  );
}
