// A player's own wallet: balance, deposit, withdrawal and transactions; the example of how a product embeds the API.
import { useEffect } from 'react';
import { type Answer, ApiError } from '../api/client.ts';
import { useAct, useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Select } from '../parts/Field.tsx';
import { Amount, Stat, Stats } from '../parts/numbers.tsx';
import { Page, Section } from '../parts/Page.tsx';
import { Failed, Loading, Show } from '../parts/states.tsx';
import '../styles/money.css';
import { t as money } from '../words/money.ts';
import { t } from '../words/player.ts';
import { currencies } from './money/amount.tsx';
import { inWords } from './money/refusal.ts';
import { type Balance, type Kind, PaymentForm } from './player/PaymentForm.tsx';
import { Transactions } from './player/Transactions.tsx';

type Player = Answer<'POST /api/v1/player/register'>['player'];

export default function PlayerWallet() {
  const { run, answer, error } = useAct('POST /api/v1/player/register');
  const register = () => void run({ body: {} }).catch(() => undefined); // the error is shown below
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the page opens; it is repeatable
  useEffect(register, []);
  if (!answer)
    return (
      <Page title={t('title')}>
        {error ? <Failed error={inWords(error)} retry={register} /> : <Loading />}
      </Page>
    );
  return <Opened player={answer.player} refresh={register} />;
}

function Opened({ player, refresh }: { player: Player; refresh: () => void }) {
  const [view, setView] = useView({ tab: 'deposit', currency: 'USD' });
  const kind: Kind = view.tab === 'withdraw' ? 'withdraw' : 'deposit';
  const read = useRead(
    'GET /api/v1/player/wallet/balance',
    { query: { currency: view.currency } },
    { live: true },
  );
  return (
    <Page title={t('title')} as_of_ms={read.as_of_ms}>
      <div data-testid="wallet-page" className="wallet-page">
        <p className="muted">{t('intro')}</p>
        <Identity player={player} refresh={refresh} />
        <Select
          label={money('currency')}
          name="currency"
          value={view.currency}
          options={currencies.map((value) => ({ value, label: value }))}
          onChange={(currency) => setView({ currency })}
        />
        <Show read={read}>
          {(balance) => (
            <>
              <BalanceCard balance={balance} as_of={read.as_of_ms} />
              <Tabs kind={kind} choose={(tab) => setView({ tab })} />
              <PaymentForm key={`${kind} ${balance.currency}`} kind={kind} balance={balance} />
            </>
          )}
        </Show>
        <Section title={t('transactions')}>
          <Transactions />
        </Section>
      </div>
    </Page>
  );
}

function BalanceCard({ balance, as_of }: { balance: Balance; as_of: number | undefined }) {
  const { currency, exponent } = balance;
  const figures = [
    ['available', balance.available_real],
    ['held', balance.held_real],
    ['total', balance.total_real],
    ...(balance.bonus_available === '0' ? [] : [['bonus', balance.bonus_available] as const]),
  ] as const;
  return (
    <section aria-label={t('balance')} data-testid="wallet-balance">
      <Stats>
        {figures.map(([name, minor]) => (
          <Stat
            key={name}
            label={t(name)}
            tone={name === 'available' ? 'info' : 'plain'}
            value={<Amount minor={minor} currency={currency} exponent={exponent} />}
            as_of={as_of}
          />
        ))}
      </Stats>
    </section>
  );
}

function Tabs({ kind, choose }: { kind: Kind; choose: (kind: Kind) => void }) {
  return (
    <nav className="tabs" aria-label={t('tabs')}>
      {(['deposit', 'withdraw'] as const).map((one) => (
        <button
          key={one}
          type="button"
          data-testid={`tab-${one}`}
          onClick={() => choose(one)}
          {...(one === kind && { 'aria-current': 'page' as const })}
        >
          {t(one)}
        </button>
      ))}
    </nav>
  );
}

/** What stands between the player and their money, and what they can do about it. */
function Identity({ player, refresh }: { player: Player; refresh: () => void }) {
  const ask = useAct('POST /api/v1/player/kyc');
  const { kyc_status, kyc_reason, email_verified, sms_verified } = player;
  const unverified = !email_verified || !sms_verified;
  if (kyc_status === 'approved' && !unverified) return null;
  const apply = async () => {
    await ask.run({}).catch(() => undefined); // the error is shown below
    refresh();
  };
  return (
    <section className="card identity" aria-label={t('identity')}>
      {unverified && <p>{t('unverified')}</p>}
      {kyc_status !== 'approved' && (
        <p>
          {kyc_status === 'rejected'
            ? t('kyc_rejected', { reason: kyc_reason ?? '' })
            : t(`kyc_${kyc_status}`)}
        </p>
      )}
      {(kyc_status === 'none' || kyc_status === 'rejected') && (
        <button type="button" disabled={ask.running} onClick={() => void apply()}>
          {t('kyc_ask')}
        </button>
      )}
      {ask.error instanceof ApiError && <Failed error={inWords(ask.error)} />}
    </section>
  );
}
