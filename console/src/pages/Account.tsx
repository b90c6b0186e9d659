// An account of the books: what it holds, and every movement on it.
import { Link, useParams } from 'wouter';
import { useRead } from '../api/query.ts';
import { useView } from '../api/view.ts';
import { Amount } from '../parts/numbers.tsx';
import { Page, Section } from '../parts/Page.tsx';
import { Show } from '../parts/states.tsx';
import { When } from '../parts/When.tsx';
import '../styles/money.css';
import { t as money } from '../words/money.ts';
import { t } from '../words/wallets.ts';
import { accountName, MovementDialog } from './money/Movement.tsx';
import { Reload } from './money/Reload.tsx';
import { usePaths } from './money/tenant.tsx';
import { History, useHistory } from './wallets/History.tsx';

export default function Account() {
  const { account: id = '' } = useParams();
  const [view, setView] = useView({ tenant_id: '', id: '' });
  const { tenant_id } = view;
  const paths = usePaths();
  const read = useRead('GET /api/admin/ledger/accounts/{id}', { path: { id }, query: { tenant_id } });
  const history = useHistory(id, tenant_id);
  const account = read.answer?.account;
  const name = account ? `${accountName(account)} ${account.currency}` : '…';
  const open = (movement: string | undefined) => setView({ id: movement });
  return (
    <Page title={t('account_title', { name })} as_of_ms={history.as_of_ms} actions={<Reload />}>
      <Show read={read}>
        {({ account: { owner_id, balance_minor, currency, exponent, created_at, tenant_id: tenant } }) => (
          <dl className="pairs">
            <dt>{t('balance')}</dt>
            <dd>
              <strong>
                <Amount minor={balance_minor} currency={currency} exponent={exponent} />
              </strong>
            </dd>
            {owner_id && (
              <>
                <dt>{money('player')}</dt>
                <dd>
                  <Link href={paths.wallet(owner_id, tenant)}>
                    <code>{owner_id}</code>
                  </Link>
                </dd>
              </>
            )}
            <dt>{t('tenant')}</dt>
            <dd>{tenant}</dd>
            <dt>{t('opened')}</dt>
            <dd>
              <When at={created_at} />
            </dd>
          </dl>
        )}
      </Show>
      <Section title={t('history', { name })}>
        <History list={history} name={name} open={open} />
      </Section>
      {view.id && (
        <MovementDialog id={view.id} tenant_id={tenant_id} open={open} onClose={() => open(undefined)} />
      )}
    </Page>
  );
}
