// Job: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Job() {
  return (
    <Page title={t('nav_job')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
