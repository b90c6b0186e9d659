// Jobs: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Jobs() {
  return (
    <Page title={t('nav_jobs')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
