// The wallet of a player as finance sees it: identity, balances, accounts, and the history of one of them.
import { useState } from 'react';
import { Link, useParams } from 'wouter';
import type { Answer } from '../api/client.ts';
import { useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Id } from '../parts/Copy.tsx';
import { Amount } from '../parts/numbers.tsx';
import { Page, Section } from '../parts/Page.tsx';
import { Nothing, Show } from '../parts/states.tsx';
import { useViewer } from '../session/viewer.ts';
import '../styles/money.css';
import { formatAmount } from '../words/format.ts';
import { t } from '../words/wallets.ts';
import { t as shell } from '../words/words.ts';
import { accountName, MovementDialog } from './money/Movement.tsx';
import { Reload } from './money/Reload.tsx';
import { Adjust } from './wallets/Adjust.tsx';
import { History, useHistory } from './wallets/History.tsx';
import { Identity } from './wallets/Identity.tsx';

type Whole = Answer<'GET /api/v1/admin/players/{id}/wallet'>;
type Balances = Whole['wallets'][number];

export default function Wallet() {
  const { player: id = '' } = useParams();
  const [{ tenant_id }] = useView({ tenant_id: '' });
  const read = useRead('GET /api/v1/admin/players/{id}/wallet', { path: { id }, query: { tenant_id } });
  return (
    <Page
      title={shell('nav_wallet')}
      beside={<Id value={id} what={t('player_id')} />}
      as_of_ms={read.as_of_ms}
      actions={<Reload />}
    >
      <Show read={read}>{(answer) => <Found answer={answer} />}</Show>
    </Page>
  );
}

function Found({ answer: { player, wallets } }: { answer: Whole }) {
  const { session } = useViewer();
  const [adjusting, setAdjusting] = useState(false);
  const tenant = { tenant_id: player.tenant_id };
  const own = session.subject === player.player_id;
  const query = (more: Record<string, string>) => new URLSearchParams({ ...tenant, ...more });
  return (
    <>
      <Section title={t('identity')}>
        <Identity player={player} />
      </Section>
      <Section
        title={t('wallets')}
        actions={
          <>
            {own && <span className="muted small">{t('own')}</span>}
            <button type="button" disabled={own} onClick={() => setAdjusting(true)}>
              {t('adjust')}
            </button>
          </>
        }
      >
        {wallets.length === 0 && <Nothing>{t('wallets_nothing')}</Nothing>}
        <div className="columns">
          {wallets.map((wallet) => (
            <Balance key={wallet.currency} wallet={wallet} />
          ))}
        </div>
        <p>
          <Link href={`/finance/withdrawals?${query({ state: 'all', player_id: player.player_id })}`}>
            {t('to_withdrawals')}
          </Link>{' '}
          ·{' '}
          <Link href={`/findings?${query({ status: '', player_id: player.player_id })}`}>
            {t('to_findings')}
          </Link>
        </p>
      </Section>
      <Accounts player_id={player.player_id} tenant_id={player.tenant_id} />
      {adjusting && <Adjust player={player} onClose={() => setAdjusting(false)} />}
    </>
  );
}

function Balance({ wallet }: { wallet: Balances }) {
  const { currency, exponent, legacy, source } = wallet;
  const rows = [
    ['available', wallet.available_real],
    ['held', wallet.held_real],
    ['total', wallet.total_real],
    ['bonus', wallet.bonus_available],
  ] as const;
  const written = (minor: string) => formatAmount(minor, currency, exponent ?? undefined);
  const differs = legacy && (legacy.available !== wallet.available_real || legacy.held !== wallet.held_real);
  return (
    <div className="card">
      <h3>{currency}</h3>
      <dl className="pairs balance">
        {rows.map(([name, minor]) => (
          <div key={name}>
            <dt>{t(name)}</dt>
            <dd className="end">
              <Amount minor={minor} currency={currency} exponent={exponent} />
            </dd>
          </div>
        ))}
      </dl>
      <p className="muted small">{t(`source_${source}`)}</p>
      {differs && (
        <p className="small">
          {t('legacy_differs', { available: written(legacy.available), held: written(legacy.held) })}
        </p>
      )}
    </div>
  );
}

const order = ({ currency, kind }: { currency: string; kind: string }) => `${currency} ${kind}`;

function Accounts({ player_id, tenant_id }: { player_id: string; tenant_id: string }) {
  const [view, setView] = useView({ account: '', id: '' });
  const read = useRead('GET /api/admin/ledger/accounts', {
    query: { owner_id: player_id, tenant_id, limit: 200 },
  });
  const accounts = (read.answer?.accounts ?? []).toSorted((a, b) => order(a).localeCompare(order(b)));
  const chosen =
    accounts.find(({ id }) => id === view.account) ??
    accounts.find(({ kind, balance_minor }) => kind === 'available' && balance_minor !== '0') ??
    accounts[0];
  const history = useHistory(chosen?.id ?? '', tenant_id, chosen !== undefined);
  const open = (movement: string | undefined) => setView({ id: movement });
  const name = chosen ? `${accountName(chosen)} ${chosen.currency}` : '';
  return (
    <Section title={chosen ? t('history', { name }) : t('accounts')}>
      <Show read={read}>
        {() => (
          <nav className="tabs" aria-label={t('accounts')}>
            {accounts.map((account) => (
              <button
                key={account.id}
                type="button"
                onClick={() => setView({ account: account.id })}
                {...(account === chosen && { 'aria-current': 'page' as const })}
              >
                {accountName(account)} {account.currency}{' '}
                <Amount
                  minor={account.balance_minor}
                  currency={account.currency}
                  exponent={account.exponent}
                />
              </button>
            ))}
          </nav>
        )}
      </Show>
      {chosen && <History list={history} name={name} open={open} />}
      {view.id && (
        <MovementDialog id={view.id} tenant_id={tenant_id} open={open} onClose={() => open(undefined)} />
      )}
    </Section>
  );
}
