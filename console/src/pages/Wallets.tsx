// Wallets: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Wallets() {
  return (
    <Page title={t('nav_wallets')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
