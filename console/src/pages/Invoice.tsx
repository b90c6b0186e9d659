// Invoice: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Invoice() {
  return (
    <Page title={t('nav_invoice')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
