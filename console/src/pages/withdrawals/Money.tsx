// What a withdrawal does to the player's money: the wallet now, and after each thing that can be done.
import { useRead } from '../../api/query.ts';
import { Amount } from '../../parts/numbers.tsx';
import { Show } from '../../parts/states.tsx';
import { formatAmount } from '../../words/format.ts';
import { t } from '../../words/withdrawals.ts';
import { type Row, verbs } from './actions.ts';

interface Case {
  name: string;
  available: bigint;
  held: bigint;
}

export function Money({ row }: { row: Row }) {
  const read = useRead('GET /api/v1/admin/players/{id}/wallet', {
    path: { id: row.player_id },
    query: { tenant_id: row.tenant_id },
  });
  return (
    <Show read={read}>
      {({ wallets }) => {
        const wallet = wallets.find(({ currency }) => currency === row.currency);
        const cases = casesOf(row, wallet?.available_real ?? '0', wallet?.held_real ?? '0');
        return (
          <>
            <MoneyTable cases={cases} currency={row.currency} exponent={wallet?.exponent} />
            <AtRequest row={row} />
          </>
        );
      }}
    </Show>
  );
}

/** A withdrawal that is at its end has only the present. */
function casesOf(row: Row, available_minor: string, held_minor: string): Case[] {
  const [available, held, amount] = [BigInt(available_minor), BigInt(held_minor), BigInt(row.amount_minor)];
  const now = { name: t('now'), available, held };
  if (verbs[row.state].length === 0) return [now];
  const paid = { name: t('if_paid'), available, held: held - amount };
  const may_reject = row.state === 'requested' || row.state === 'payout_failed';
  const rejected = { name: t('if_rejected'), available: available + amount, held: held - amount };
  return [now, paid, ...(may_reject ? [rejected] : [])];
}

function MoneyTable(props: { cases: Case[]; currency: string; exponent: number | null | undefined }) {
  const { cases, currency, exponent } = props;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
    <section className="table-scroll" aria-label={t('money')} tabIndex={0}>
      <table>
        <caption>{t('money_caption', { currency })}</caption>
        <thead>
          <tr>
            <th scope="col">{t('money_case')}</th>
            {(['available', 'held', 'total'] as const).map((name) => (
              <th key={name} scope="col" className="end">
                {t(name)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {cases.map(({ name, available, held }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {[available, held, available + held].map((minor, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: the columns do not move
                <td key={index} className="end">
                  <Amount minor={minor} currency={currency} exponent={exponent} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function AtRequest({ row }: { row: Row }) {
  if (row.balance_after === null) return null;
  const before = formatAmount(row.balance_after, row.currency);
  const after = formatAmount(BigInt(row.balance_after) - BigInt(row.amount_minor), row.currency);
  return <p className="muted small">{t('at_request', { before, after })}</p>;
}
