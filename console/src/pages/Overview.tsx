// Overview: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Overview() {
  return (
    <Page title={t('nav_overview')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
