// Site: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Site() {
  return (
    <Page title={t('nav_site')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
