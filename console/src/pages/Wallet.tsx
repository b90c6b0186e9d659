// Wallet: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Wallet() {
  return (
    <Page title={t('nav_wallet')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
