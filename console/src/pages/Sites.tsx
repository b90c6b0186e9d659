// Sites: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Sites() {
  return (
    <Page title={t('nav_sites')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
