// Withdrawals: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Withdrawals() {
  return (
    <Page title={t('nav_withdrawals')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
