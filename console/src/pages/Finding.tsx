// Finding: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Finding() {
  return (
    <Page title={t('nav_finding')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
